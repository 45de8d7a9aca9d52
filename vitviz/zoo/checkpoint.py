"""Models from disk: folders with a config, and bare weights whose architecture is named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

from vitviz.errors import ModelError, Phrase
from vitviz.models.anatomy import Anatomy
from vitviz.models.libraries import forget_state, pretrained_config
from vitviz.models.vit import Vit, create_pretrained, from_module
from vitviz.zoo import foreign
from vitviz.zoo.state import Refused, check_parameter_count, check_values, read_state
from vitviz.zoo.weights import labels_beside, not_loaded, reading, weight_files

__all__ = [
    "config_of",
    "fault_of",
    "is_model",
    "last_written",
    "load_file",
    "load_folder",
]

CONFIG = "config.json"
LARGEST = 10**5  # of the numbers in a config: a side, a width, classes


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model: its config and weights."""
    try:
        return (folder / CONFIG).is_file() and bool(weight_files(folder))
    except OSError:  # it may not be read
        return False


def last_written(folder: Path) -> str:
    """When something in a folder was last written, as a text that changes with it."""
    try:
        return str(max(file.stat().st_mtime_ns for file in folder.iterdir()))
    except (OSError, ValueError):  # somebody is writing just now
        return ""


def config_of(folder: Path) -> dict[str, Any]:
    """What the config of a model's folder says; nothing if it cannot be read."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # the last: one list in another, thousands deep
        return {}
    return config if isinstance(config, dict) else {}


def fault_of(folder: Path) -> Phrase | None:
    """Why a folder that has a config is no model; None if it may be one, or has no config. Nothing
    but the config is read, and no pipe is opened."""
    try:
        if not (folder / CONFIG).exists():
            return None
        if not (folder / CONFIG).is_file():
            return Phrase("config_no_file", "its config.json is no ordinary file.")
        if not weight_files(folder):
            return Phrase("no_weights_beside", "it holds no file of weights.")
    except OSError as error:
        return Phrase("folder_not_read", "it cannot be read: {reason}.", reason=error.strerror)
    if not (config := config_of(folder)):
        return Phrase("config_not_read", "its config.json is no table of settings in JSON.")
    if not isinstance(config.get("pretrained_cfg"), dict | None):
        return Phrase("pretrained_cfg_no_table", "pretrained_cfg in its config.json is no table.")
    if not isinstance(config.get("architecture", config.get("model_type")), str):
        return Phrase("no_architecture_named", "its config.json names no architecture.")
    return None


def load_folder(folder: Path) -> Vit:
    """A folder in timm's hub layout, or written by transformers' save_pretrained.

    Labels are the config's; without them labels.txt beside it, one a line; else ImageNet's where
    the number of classes tells which.

    Raises:
        ModelError: if config and weights are no usable model.
    """
    if not (folder / CONFIG).is_file():
        raise ModelError(
            "no_config",
            "{folder} has no config.json; a model folder needs it beside the weights. Of "
            "bare weights, name the file and its architecture.",
            folder=folder,
        )
    if fault := fault_of(folder):
        raise not_loaded(folder.name, fault)
    with reading(folder):
        config = config_of(folder)
        if "model_type" in config and "architecture" not in config:
            return foreign.load_transformers(folder)
        _check(folder, config)
        module = create_pretrained(f"local-dir:{folder}")
        named = pretrained_config(module).get("label_names")
        classes = Anatomy(module).num_classes or 0
        _check_labels(named, classes)
        labels = None if named else labels_beside(folder, classes)
        return from_module(module, labels, name=folder.name)


def load_file(file: Path, architecture: str | None) -> Vit:
    """Weights without a config, as timm's and torchvision's training scripts write them.

    They may be wrapped, see `read_state`, and in the layout of a model's first authors: timm's own
    filters translate them and fit position embeddings. The number of classes is that of the
    weights; labels are as for a folder.

    Args:
        file: .safetensors, .pth, .pt or .bin; nothing in it is run.
        architecture: a timm name, whose tag tells the transform; or torchvision/vit_b_16.

    Raises:
        ModelError: if the file is not weights of this architecture, with the first differences.
    """
    if architecture is None:
        raise ModelError(
            "architecture_needed",
            "{file} does not say which architecture it is for: pass architecture= "
            "(--architecture), such as vit_base_patch16_224 or torchvision/vit_b_16.",
            file=file.name,
        )
    with reading(file):
        if architecture.startswith(foreign.TORCHVISION):
            return foreign.load_torchvision(file, architecture)
        if not timm.is_model(architecture):
            raise ModelError(
                "no_such_architecture",
                "There is no architecture “{architecture}” in timm or torchvision.",
                architecture=architecture,
            )
        state = read_state(file)
        check_values(state)
        classifier = timm.get_pretrained_cfg(architecture).classifier
        first = classifier[0] if isinstance(classifier, tuple) else classifier
        classes = len(state.get(f"{first}.weight", ()))
        check_parameter_count(
            lambda: timm.create_model(architecture, num_classes=classes), _numbers(state.values())
        )
        source = {"state_dict": state, "custom_load": False, "num_classes": classes}
        module = create_pretrained(architecture, num_classes=classes, pretrained_cfg_overlay=source)
        forget_state(module)
        return from_module(module, labels_beside(file.parent, classes), name=file.stem)


def _check(folder: Path, config: Mapping[str, Any]) -> None:
    """Whether a folder's weights are finite floats, and about as many as its config asks for."""
    if (number := _largest(config.get("model_args"))) > LARGEST:
        raise Refused(
            Phrase(
                "config_number_too_large",
                "its config asks for {number:,} of something, more than any model has.",
                number=number,
            )
        )
    numbers = 0
    for file in weight_files(folder):
        state = read_state(file)
        check_values(state)
        numbers += _numbers(state.values())
    check_parameter_count(
        lambda: timm.create_model(f"local-dir:{folder}", pretrained=False), numbers
    )


def _largest(arguments: object) -> int:
    """The largest whole number among a config's values."""
    if isinstance(arguments, Mapping):
        arguments = list(arguments.values())
    if isinstance(arguments, (list, tuple)):
        return max(map(_largest, arguments), default=0)
    return arguments if isinstance(arguments, int) else 0


def _numbers(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _check_labels(names: Any, classes: int) -> None:
    """ModelError if a config names more or fewer classes than there are; some may have no name
    where they are numbered."""
    if isinstance(names, Mapping):
        count = max(map(int, names), default=0) + 1
        fits = count <= classes
    else:
        count = len(names or ())
        fits = count in (0, classes)
    if not fits:
        raise ModelError(
            "config_labels_differ",
            "Its config names {count} classes and the model has {classes}; it needs one name for "
            "each class, in their order.",
            count=count,
            classes=classes,
        )
