"""Loading a Vision Transformer, wherever its weights are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import timm
from safetensors import SafetensorError
from timm.models import save_for_hf

from vitviz.arguments import checked
from vitviz.errors import ModelError, ModelUnavailable
from vitviz.files import not_written
from vitviz.models.devices import Device, FloatType, as_device, as_float_type
from vitviz.models.vit import Vit, create_pretrained, from_module, on_device
from vitviz.progress import Progress
from vitviz.zoo.catalogue import BUNDLED, MODELS_DIR, Offer, bundled_models, model_folders, offer
from vitviz.zoo.checkpoint import is_model, load_file, load_folder
from vitviz.zoo.hub import cached_weights, fetch_weights
from vitviz.zoo.weights import KINDS, reading

__all__ = [
    "BUNDLED",
    "MODELS_DIR",
    "Vit",
    "bundled_models",
    "fetch",
    "from_module",
    "load_model",
    "load_offer",
    "save_pretrained",
]

WIDEST_EMBEDDING = 2048  # of timm's models; a classifier whose labels nobody knows is wider


@checked
def load_model(
    name: str | Path | None = None,
    architecture: str | None = None,
    progress: Progress | None = None,
    device: Device = "cpu",
    dtype: FloatType | None = None,
) -> Vit:
    """Load a model with its weights.

    Args:
        name: None for the bundled model; the name of a folder under `models/` or VITVIZ_MODELS;
            the path of a folder that timm or transformers saved, or of a file of weights; or a
            timm model name, whose pretrained weights are fetched if they are not on this machine.
        architecture: of a file of weights: a timm name, or torchvision/vit_b_16.
        progress: called while weights are fetched; whatever it raises stops that.
        device: where it runs, see `as_device`: “auto” takes the best that this machine has.
        dtype: the float type that it runs in: float32, bfloat16 or float16; that of its weights if
            None.

    Raises:
        ModelError: if the name is not known, a file or folder does not hold a usable model, or
            there is no such device or float type.
        ModelUnavailable: if the weights are not here and the model hub does not give them; within
            ten seconds if it does not answer.

    Examples:
        >>> vit = load_model()
        >>> vit.name, len(vit.labels)
        ('vit_small_patch14_in1k', 1000)
    """
    as_device(device)  # before anything is fetched
    if dtype is not None:
        as_float_type(dtype)
    vit = _loaded(BUNDLED if name is None else name, architecture, progress)
    return on_device(vit, device, dtype)


def _loaded(name: str | Path, architecture: str | None, progress: Progress | None) -> Vit:
    if str(name) not in model_folders():
        path = Path(name)
        try:
            is_file, is_folder = path.is_file(), path.is_dir()
        except (OSError, ValueError):  # too long, or a character that no path may have
            is_file = is_folder = False
        if is_file:
            return load_file(path, architecture)
        if is_folder:
            return load_folder(path)
        if path.suffix in KINDS:
            raise ModelError("no_such_file", "There is no file {file}.", file=name)
    return load_offer(offer(str(name)), progress)


def load_offer(offered: Offer, progress: Progress | None = None) -> Vit:
    """Load a model that is offered, to run on the processor; see `load_model`."""
    if offered.folder:
        return load_folder(offered.folder)
    weights = cached_weights(timm.get_pretrained_cfg(offered.name).hf_hub_id)
    return _pretrained(offered.name, weights or fetch(offered.name, progress))


def fetch(name: str, progress: Progress | None = None, into: Path | None = None) -> Path:
    """Fetch a timm model's weights into the hub's cache, or into another; returns the file.

    Raises:
        ModelUnavailable: if the model hub does not give them.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise ModelUnavailable(
            "no_pretrained_weights",
            "timm has no pretrained weights for {model}; choose another model.",
            model=name,
        )
    if not config.hf_hub_id:
        raise ModelUnavailable(
            "weights_not_on_hub",
            "The weights of {model} are not on the model hub: get them from {url} and "
            "load the file with architecture={model}.",
            model=name,
            url=config.url,
        )
    return fetch_weights(config.hf_hub_id, name, progress, into)


def save_pretrained(name: str, folder: Path, progress: Progress | None = None) -> Path:
    """Write a timm model with its weights to folder/name, in timm's hub layout, for a machine
    without a network; fetched if they are not on this machine.

    Raises:
        ModelUnavailable: if the model hub does not give the weights.
        VitvizError: if the folder cannot be written.
    """
    made = folder / name
    if is_model(made):
        return made
    weights = cached_weights(timm.get_pretrained_cfg(name).hf_hub_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as cache_folder:
            vit = _pretrained(name, weights or fetch(name, progress, Path(cache_folder)))
            unfinished = Path(cache_folder) / "model"
            save_for_hf(vit.module, unfinished, safe_serialization=True)
            unfinished.rename(made)
    except (OSError, SafetensorError) as error:
        raise not_written(made, error) from error
    return made


def _pretrained(name: str, weights: Path) -> Vit:
    """A timm model with weights in timm's layout. What the head of a model trained on captions
    gives is an embedding, not classes, and is left out."""
    with reading(weights, name):
        source = {"file": str(weights), "custom_load": False}
        module = create_pretrained(name, pretrained_cfg_overlay=source)
        vit = from_module(module, name=name)
        if not vit.labels and 0 < (vit.anatomy.num_classes or 0) <= WIDEST_EMBEDDING:
            vit.anatomy.reset_classifier(0)
            vit = from_module(module, name=name)
        return vit
