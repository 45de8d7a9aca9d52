"""Vitviz's maps for Quantus, which measures explanations in many more ways.

Hedström et al. 2023, arXiv 2202.06861. Quantus itself is not needed here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitviz.heatmap import Heatmap
from vitviz.methods.explain import explain, method_called
from vitviz.models.vit import Vit, from_module
from vitviz.recording.record import record
from vitviz.recording.recording import Recording

__all__ = ["explain_func"]


def explain_func(
    model: nn.Module,
    inputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    vit: Vit | None = None,
    method: str = "relevance",
    device: object = None,
    **options: Any,
) -> NDArray[np.float32]:
    """A map of each input as Quantus's `explain_func` gives them, (batch, 1, height, width).

    Every pixel has the value of its patch, and pixels that the model does not see have 0. Given
    to a metric with `explain_func_kwargs={"vit": vit, "method": "relevance"}`.

    Args:
        model: the module as Quantus hands it over: that of `vit`, or a copy with other weights.
        inputs: what the model takes, (batch, channels, height, width), normalised.
        targets: index of the class to explain for each; of no effect on a method that is the same
            for every class.
        vit: the model as `from_module` or `load_model` gave it; None makes one of the module.
        method: an id in `METHODS`.
        device: which Quantus may add by itself; of no effect.
        options: of the method, as for `explain`.

    Raises:
        ModelError: as `from_module`, if there is no `vit`, and as `record`.
        MethodError: as `explain`.

    Examples:
        >>> explain_func(vit.module, rec.pixels[None].numpy(), [281], vit=vit).shape
        (1, 1, 224, 224)
    """
    del device
    if vit is None:
        vit = from_module(model)
    elif model is not vit.running:
        vit = from_module(model, vit.labels, vit.transform, vit.name, vit.tokens, vit.outputs)
    has_class = method_called(method).class_specific
    maps = []
    for pixels, target in zip(inputs, targets, strict=True):
        rec = record(vit, torch.as_tensor(pixels))
        heat = explain(rec, method, target=int(target) if has_class else None, **options)
        maps.append(_in_pixels(rec, heat.on_grid(rec.grid)))
    return np.stack(maps)[:, None]


def _in_pixels(rec: Recording, heat: Heatmap) -> NDArray[np.float32]:
    """A map in pixels of the model's input, (height, width)."""
    height, width = rec.patch_size
    enlarged = heat.values.repeat(height, axis=0).repeat(width, axis=1)
    found = np.zeros(rec.pixels.shape[-2:], np.float32)
    seen = enlarged[: found.shape[0], : found.shape[1]]
    found[: seen.shape[0], : seen.shape[1]] = seen
    return found
