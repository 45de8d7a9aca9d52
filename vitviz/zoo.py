"""Which Vision Transformers are offered and how each is loaded.

A `Vit` is a module in eval mode with what is needed to use it: its own transform, its labels and
its name. It is never changed after loading, so one object serves every visitor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
from PIL import Image
from timm.data import (
    ImageNetInfo,
    create_transform,
    infer_imagenet_subset,
    resolve_model_data_config,
)
from torch import Tensor, nn

from vitviz.anatomy import Anatomy, adapted
from vitviz.errors import ModelError, ModelUnavailable
from vitviz.memo import Memo

__all__ = ["BUNDLED", "MODELS_DIR", "Vit", "bundled_models", "from_module", "load_model"]

MODELS_DIR = Path(__file__).resolve().parent.parent / "models"
BUNDLED = "vit_small_patch14_photos246"
PROBE_SECONDS = 5.0
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
UNUSABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError)  # what timm raises for it

Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True, eq=False)
class Vit:
    """A Vision Transformer ready to be recorded.

    Attributes:
        module: in eval mode, on the processor.
        name: what to call it on screen.
        labels: class names by index; empty when they are not known.
        transform: PIL RGB image → normalised tensor (3, height, width).
        anatomy: which of its tokens are patches; None where the module itself says so.
        layouts: where its queries and keys lie, by the size of the input, once found.
    """

    module: nn.Module
    name: str
    labels: Sequence[str]
    transform: Transform
    anatomy: Anatomy | None = None
    layouts: Memo = field(default_factory=Memo, init=False, repr=False)


def load_model(name: str | Path | None = None) -> Vit:
    """Load a model with its weights.

    Args:
        name: None for the bundled model; the name of a folder under `models/`; the path of a
            folder with `config.json` and `model.safetensors` in timm's hub layout; or a timm
            model name, whose pretrained weights are fetched if they are not on this machine.

    Raises:
        ModelError: if the name is not known or a folder does not hold a usable model.
        ModelUnavailable: if the weights are not here and the model hub does not answer.
    """
    name = BUNDLED if name is None else name
    try:
        for folder in (MODELS_DIR / name, Path(name)):
            if (folder / "config.json").is_file():
                return _load_folder(folder)
        is_folder = Path(name).is_dir()
    except (OSError, ValueError):  # too long, or a character that no path may have
        is_folder = False
    if is_folder:
        raise ModelError(f"{name} has no config.json; a model folder needs it beside the weights.")
    if not timm.is_model(str(name)):
        raise ModelError(
            f"There is no model called “{name}”; name a folder under models/ or a timm model."
        )
    return _load_pretrained(str(name))


def from_module(
    module: nn.Module,
    labels: Sequence[str] | None = None,
    transform: Transform | None = None,
    name: str | None = None,
    anatomy: Anatomy | None = None,
) -> Vit:
    """Use a model you already hold; it is put in eval mode.

    Models of timm, torchvision, transformers and open_clip say which of their tokens are patches;
    for a plain ViT of your own, `anatomy` does.

    Labels and transform default to what the module's `pretrained_cfg` says (timm's models have
    one): ImageNet names where the number of classes tells which, otherwise none.

    Raises:
        ModelError: if no transform is given and the module does not say how it was trained.
    """
    config: Mapping[str, Any] = getattr(module, "pretrained_cfg", {})
    if transform is None:
        if not config:
            raise ModelError("This module has no pretrained_cfg: pass transform= as well.")
        transform = create_transform(**_data_config(module))
    if labels is None:
        labels = _labels(module, config)
    architecture = config.get("architecture", type(module).__name__)
    return Vit(adapted(module.eval()), name or architecture, tuple(labels), transform, anatomy)


def bundled_models() -> list[str]:
    """Names of the folders under `models/` that hold a model, the default first."""
    names = sorted(path.parent.name for path in MODELS_DIR.glob("*/config.json"))
    return sorted(names, key=lambda name: name != BUNDLED)


def _data_config(module: nn.Module) -> dict[str, Any]:
    """The transform's settings; the input size is the module's own, which may differ from the
    size its weights were published for."""
    config: dict[str, Any] = resolve_model_data_config(module)
    size = getattr(getattr(module, "patch_embed", None), "img_size", None)
    return {**config, "input_size": (3, *size)} if size else config


def _labels(module: nn.Module, config: Mapping[str, Any]) -> list[str]:
    if names := config.get("label_names"):
        described = config.get("label_descriptions") or {}
        return [described.get(name, name) for name in names]
    subset = infer_imagenet_subset(module)
    if subset is None or getattr(module, "num_classes", None) == 0:
        return []
    info = ImageNetInfo(subset)
    return [info.index_to_description(i) for i in range(info.num_classes())]


def _load_folder(folder: Path) -> Vit:
    try:
        module = timm.create_model(f"local-dir:{folder}", pretrained=True)
        return from_module(module, name=folder.name)
    except Exception as error:  # timm checks little of a config, so anything may come of a bad one
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"The model in {folder} cannot be loaded: {reason}") from error


def _load_pretrained(name: str) -> Vit:
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # an unknown tag
        raise ModelError(f"There is no model called “{name}”: {error}") from error
    if config is None or not config.has_weights:
        raise ModelUnavailable(f"timm has no pretrained weights for {name}; choose another model.")
    weights = _cached_weights(config.hf_hub_id)
    if weights is None and not _hub_has(config.hf_hub_id):
        raise ModelUnavailable(
            f"The weights of {name} are not on this machine and the model hub cannot be reached; "
            "load it once where there is a network, or copy its folder to models/."
        )
    overlay = {"file": str(weights)} if weights else None
    try:
        module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except UNUSABLE as error:
        raise ModelUnavailable(f"The weights of {name} could not be fetched: {error}") from error
    return from_module(module, name=name)


def _cached_weights(repository: str | None) -> Path | None:
    """The weights in the hub's cache on this machine, found without asking the hub."""
    for file in WEIGHTS:
        found = repository and huggingface_hub.try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return Path(found)
    return None


def _hub_has(repository: str | None) -> bool:
    """Whether the model hub offers the weights within a few seconds: timm and the hub's client
    would try again and again for most of a minute. Looking a name up can block for longer
    than any time limit given to it, hence the thread."""
    if repository is None:
        return False
    answered = threading.Event()

    def ask() -> None:
        for file in WEIGHTS:
            try:
                url = huggingface_hub.hf_hub_url(repository, file)
                reply = huggingface_hub.get_session().head(url, timeout=5)
            except Exception:  # whatever the network stack raises, it did not answer
                return
            if reply.status_code < 400:
                answered.set()
                return

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(PROBE_SECONDS)
