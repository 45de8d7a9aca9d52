"""What a model says of how it was trained: its transform and the names of its classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from timm.data import (
    ImageNetInfo,
    create_transform,
    infer_imagenet_subset,
    resolve_model_data_config,
)
from torch import nn

from vitviz.errors import ModelError
from vitviz.models.anatomy import Anatomy
from vitviz.models.labels import imagenet_names
from vitviz.models.libraries import pretrained_config, transformers_labels

__all__ = ["is_projection", "own_labels", "own_transform"]


def own_transform(module: nn.Module, channels: int) -> Callable[..., Any]:
    """The transform that a module of timm says it was trained with.

    Raises:
        ModelError: if it does not say so, or takes neither one nor three channels.
    """
    if not pretrained_config(module):
        raise ModelError(
            "transform_needed", "This module has no pretrained_cfg: pass transform= as well."
        )
    made: Callable[..., Any] = create_transform(**_data_config(module, channels))
    return made


def _data_config(module: nn.Module, channels: int) -> dict[str, Any]:
    """The transform's settings; the input size is the module's own, which may differ from the
    size its weights were published for. Grey has the mean of the three colours' mean and deviation.

    Raises:
        ModelError: for a model of other channels, whose mean and deviation nobody says.
    """
    config: dict[str, Any] = resolve_model_data_config(module)
    size = Anatomy(module).input_size
    if size:
        config["input_size"] = (3, *size)
    if channels == 1:
        for name in ("mean", "std"):
            config[name] = (sum(config[name]) / len(config[name]),)
    elif channels != 3:
        raise ModelError(
            "transform_needed_for_channels",
            "The model takes {channels} channels, and nothing says how they are normalised: pass "
            "transform= as well.",
            channels=channels,
        )
    return config


def own_labels(module: nn.Module) -> tuple[str, ...]:
    """The names of its classes, or ImageNet's where the number of classes tells which; none where
    nobody knows."""
    config = pretrained_config(module)
    if names := config.get("label_names"):
        if isinstance(names, Mapping):  # index → name, where some indices have none
            named = {int(index): name for index, name in names.items()}
            names = [named.get(i, f"class {i}") for i in range(max(named) + 1)]
        described = config.get("label_descriptions") or {}
        return tuple(described.get(name, name) for name in names)
    if own := transformers_labels(getattr(module, "config", None)):
        return own
    subset = infer_imagenet_subset(module)
    if subset is None:
        return ()
    if subset == "imagenet-1k":
        return imagenet_names()
    return _imagenet_names(subset)


@cache  # timm reads the names of all 21,843 classes to tell those of one subset
def _imagenet_names(subset: str) -> tuple[str, ...]:
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(i) for i in range(info.num_classes()))


def is_projection(module: nn.Module, classes: int | None) -> bool:
    """Whether timm's image tower of a CLIP still has the head that makes its embedding."""
    config = pretrained_config(module)
    if "clip" not in str(config.get("architecture")) or classes != config.get("num_classes"):
        return False
    return not config.get("label_names") and infer_imagenet_subset(module) is None
