"""Models of other libraries: torchvision's, and folders that transformers wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import (
    CenterCrop,
    Compose,
    InterpolationMode,
    Normalize,
    Resize,
    ToTensor,
)
from torchvision.transforms.functional import pil_modes_mapping

from vitviz.errors import ModelError
from vitviz.models.libraries import transformers_labels
from vitviz.models.vit import Vit, from_module
from vitviz.zoo.state import check_parameter_count, check_values, read_state
from vitviz.zoo.weights import count_parameters, different_keys, labels_beside, not_loaded

__all__ = ["TORCHVISION", "load_torchvision", "load_transformers"]

TORCHVISION = "torchvision/"
HEADS = {"vit": "heads.head.weight", "swin": "head.weight"}  # by the first part of the name


def load_torchvision(file: Path, architecture: str) -> Vit:
    """A state dict of one of torchvision's Vision Transformers.

    Position embeddings tell the input size; the transform is the one that torchvision gives for
    its own weights of that size.

    Raises:
        ModelError: if torchvision has no such Vision Transformer.
    """
    name = architecture.removeprefix(TORCHVISION)
    offered = [m for m in models.list_models(module=models) if m.split("_")[0] in HEADS]
    if name not in offered:
        raise ModelError(
            "not_in_torchvision",
            "torchvision has no Vision Transformer “{architecture}”; choose one of "
            "{architectures}.",
            architecture=name,
            architectures=", ".join(offered),
        )
    state = read_state(file)
    check_values(state)
    classes = len(state.get(HEADS[name.split("_")[0]], ()))
    size = _input_size(state)
    module = models.get_model(
        name, num_classes=classes, **({"image_size": size} if size is not None else {})
    )
    module.load_state_dict(state)
    published = list(models.get_model_weights(name))
    known = next((w for w in published if w.transforms().crop_size == [size]), published[0])
    labels = labels_beside(file.parent, classes)
    if labels is None:
        own = known.meta["categories"]
        labels = tuple(own) if len(own) == classes else ()
    transform = _torchvision_transform(known.transforms(), size)
    return from_module(module, labels, transform, file.stem)


def _input_size(state: Mapping[str, Tensor]) -> int | None:
    """Pixels of a side, from the number of position embeddings; None where there are none."""
    if "encoder.pos_embedding" not in state:
        return None
    patches = state["encoder.pos_embedding"].shape[1] - 1
    return math.isqrt(patches) * state["conv_proj.weight"].shape[-1]


def _torchvision_transform(preset: Any, size: int | None) -> Compose:
    """A preset as steps; for another input size the photo is resized in proportion."""
    [crop], [resize] = preset.crop_size, preset.resize_size
    side = size or crop
    return Compose(
        [
            Resize(round(resize * side / crop), preset.interpolation),
            CenterCrop(side),
            ToTensor(),
            Normalize(preset.mean, preset.std),
        ]
    )


def load_transformers(folder: Path) -> Vit:
    """A folder written by transformers' save_pretrained, with its image processor.

    Raises:
        ModelError: if transformers is not installed, or weights or processor are not complete.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            "transformers_needed",
            "The model {model} was saved by transformers, which is not installed here: "
            "run “pip install transformers”.",
            model=folder.name,
        ) from error
    offline = {"local_files_only": True, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(folder, **offline)
    is_classifier = any("ImageClassification" in name for name in config.architectures or ())
    auto = transformers.AutoModelForImageClassification if is_classifier else transformers.AutoModel
    check_parameter_count(lambda: auto.from_config(config), count_parameters(folder) or 0)
    module, report = auto.from_pretrained(
        folder, **offline, output_loading_info=True, ignore_mismatched_sizes=True
    )
    check_values(module.state_dict())
    # What is missing or differs would be random numbers.
    if found := different_keys(
        sorted(report["missing_keys"]), (), sorted(report["mismatched_keys"])
    ):
        raise not_loaded(folder.name, found)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, **offline)
    classes = config.num_labels if is_classifier else 0
    named = transformers_labels(config) if is_classifier else ()
    labels = named or labels_beside(folder, classes) or ()
    transform = _processor_transform(processor.to_dict())
    return from_module(module, labels, transform, folder.name)


def _processor_transform(settings: Mapping[str, Any]) -> Compose:
    """An image processor as torchvision's steps.

    Raises:
        ModelError: for a step that these cannot say.
    """
    steps: list[nn.Module | ToTensor] = []
    if settings.get("do_resize"):
        mode = _interpolation(settings.get("resample", 2))
        steps.append(Resize(_sides(settings["size"]), mode))
    if settings.get("do_center_crop"):
        steps.append(CenterCrop(_sides(settings["crop_size"])))
    factor = settings.get("rescale_factor", 1 / 255)
    if not settings.get("do_rescale", True) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
        raise ModelError(
            "processor_scales",
            "Its image processor scales pixels by {factor}, not by 1/255.",
            factor=factor,
        )
    steps.append(ToTensor())
    if settings.get("do_normalize"):
        steps.append(Normalize(settings["image_mean"], settings["image_std"]))
    return Compose(steps)


def _interpolation(number: int) -> InterpolationMode:
    """PIL's number of a resampling filter as torchvision's name of it."""
    return next(mode for mode, pil in pil_modes_mapping.items() if pil == number)


def _sides(size: Mapping[str, int]) -> int | tuple[int, int]:
    """The shorter side, or height and width."""
    if set(size) == {"shortest_edge"}:
        return size["shortest_edge"]
    if set(size) == {"height", "width"}:
        return size["height"], size["width"]
    raise ModelError(
        "processor_resizes",
        "Its image processor resizes to {size}, which is not supported.",
        size=dict(size),
    )
