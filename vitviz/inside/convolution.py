"""How far a convolutional network sees: in theory, and on a photo, beside a Vision Transformer.

Luo et al. 2016, arXiv 1701.04128: of its receptive field, most of a place's gradient lies in a
small part, the effective receptive field. Raghu et al. 2021, arXiv 2108.08810, compare it with
that of Vision Transformers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitviz.models.vit import Vit
from vitviz.recording.recorder import Recorder

__all__ = [
    "effective_field",
    "effective_width",
    "filter_answers",
    "looking_layers",
    "receptive_fields",
]

Layer = tuple[str, int, int]
"""A layer's name, kernel and stride."""

ROUNDING = 1e-9  # what a sum in float64 leaves


def looking_layers(module: nn.Module) -> list[Layer]:
    """The layers of a convolutional network that look beyond one place, in order.

    Args:
        module: whose layers run one after the other, as they are listed; layers beside others whose
            kernel is one pixel, as in ResNets, do no harm.
    """
    return [
        (name, _first(layer.kernel_size), _first(layer.stride))
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)) and _first(layer.kernel_size) > 1
    ]


def _first(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


def receptive_fields(layers: Iterable[Layer]) -> list[tuple[str, int]]:
    """How wide a part of the input one place behind each layer depends on, in pixels.

    Args:
        layers: name, kernel and stride, from the input on.

    Returns:
        The name of each layer and r = 1 + Σ (kernel − 1) · product of all strides before it.

    Examples:
        >>> receptive_fields([("a", 3, 2), ("b", 3, 1)])
        [('a', 3), ('b', 7)]
    """
    width, jump, found = 1, 1, []
    for name, kernel, stride in layers:
        width += (kernel - 1) * jump
        jump *= stride
        found.append((name, width))
    return found


def effective_field(
    vit: Vit, pixels: Tensor, part: str, place: Callable[[Tensor], Tensor]
) -> Tensor:
    """How much each pixel moves one place of a layer: (height, width), the mean of |∂s/∂pixel| over
    the colours, where s is the sum of the place's numbers.

    Args:
        vit: the model, convolutional or not; it is left as it was.
        pixels: its input, (channels, height, width), normalised.
        part: the name of the submodule whose output is looked at.
        place: takes the place's numbers from that output, of a batch of one.

    Examples:
        >>> field = effective_field(vit, rec.pixels, "blocks.0", lambda tokens: tokens[0, 100])
        >>> field.shape
        torch.Size([224, 224])
    """
    with torch.inference_mode(False), torch.enable_grad():
        seen = pixels[None].to(vit.anatomy.float_type, copy=True).requires_grad_()
        with Recorder(vit.running, watch=[part], trace=True) as recorder:
            vit.run(seen)
        (gradient,) = torch.autograd.grad(place(recorder.outputs[part]).sum(), seen)
    return gradient[0].abs().mean(dim=0).float()


def effective_width(field: Tensor, share: float) -> float:
    """How wide a square is of as many pixels as hold a share of a field, the fewest that do.

    It is at most the receptive field's width, wherever the pixels lie.

    Args:
        field: (height, width), not negative.
        share: from 0 to 1, such as 0.9.

    Examples:
        >>> effective_width(torch.ones(10, 10), 0.25)
        5.0
    """
    largest = field.flatten().double().sort(descending=True).values
    held = largest.cumsum(dim=0)
    return math.sqrt(int(torch.searchsorted(held, share * held[-1] * (1 - ROUNDING))) + 1)


@torch.no_grad()
def filter_answers(vit: Vit, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The filters of a network's first convolution, and what each answers at every place.

    Args:
        vit: whose first convolution reads the input.
        pixels: its input, (channels, height, width), normalised.

    Returns:
        Filters (filters, channels, kernel, kernel), answers (filters, rows, cols) without the bias
        and what follows.
    """
    first = next(layer for layer in vit.module.modules() if isinstance(layer, nn.Conv2d))
    weight = first.weight.detach().float()
    stride, kernel = first.stride[0], weight.shape[-1]
    return weight, F.conv2d(pixels[None], weight, stride=stride, padding=kernel // 2)[0]
