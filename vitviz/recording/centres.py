"""Whether tokens look at the middle of their patches, by asking the model which pixels each sees.

A model may crop, pad or shift its input by itself. By less than a patch, its tokens still change
most with the pixels of their own patch, see `places`, and yet every map is off by that much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vitviz.models.anatomy import Anatomy
from vitviz.models.core import channels_of, float_type
from vitviz.models.libraries import Grid
from vitviz.recording.changes import without_result
from vitviz.recording.layout import Call, Layout
from vitviz.recording.noise import noise
from vitviz.recording.recorder import ModuleTensor, Recorder

__all__ = ["are_centred"]

MOST_OFF = 0.2  # patches; what random weights make of an exact model stays far below
SHARP = 1.25  # patches that a token sees in a row; overlapping cuts and convolutions are wider
TRIED = 7  # tokens in a row and in a column, asked at once
DRAWS = 2  # of random directions, at each of two places


class Seen(NamedTuple):
    """What one patch sees in one direction.

    Attributes:
        place: its row or column.
        middle: how far the middle of what it sees is from its own, in patches.
        variance: of what it sees around that middle, in patches squared.
    """

    place: int
    middle: float
    variance: float


@torch.inference_mode(False)
@torch.enable_grad()
def are_centred(module: nn.Module, size: Grid, layouts: Sequence[Layout | None]) -> bool:
    """Whether tokens see the pixels of their patches, and none is off by over a fifth of a patch.

    Each token's middle is the mean place of the pixels by the square of its gradient with respect
    to them; a line through all of them says how far the outermost are off. The first and the last
    layer with the finest grid are asked, as there may be two models side by side. Tokens that
    overlap, as behind a stem of convolutions, cannot be asked so sharply and count as centred.

    Args:
        module: the model.
        size: (height, width) of its input.
        layouts: one for each attention call; None is not asked about.
    """
    asked = {
        n: layout
        for n, layout in enumerate(layouts)
        if layout is not None and layout.kind not in ("channel", "pooled keys")
    }
    if not asked:
        return True
    grid = max(layout.grid for layout in asked.values())
    finest = [n for n, layout in asked.items() if layout.grid == grid]
    patch = Anatomy(module).patch_size(size, grid)
    off = [without_result()]
    pixels = noise(1, channels_of(module), *size).to(float_type(module)).requires_grad_()
    as_it_is = torch.autocast("cpu", enabled=False)
    with as_it_is, Recorder(module, trace=True, changes=off) as recorder:
        module(pixels)
    for number in sorted({finest[0], finest[-1]}):
        for vectors in _vectors(recorder.calls[number], recorder.sources[number], asked[number]):
            rows, cols = _seen(vectors, pixels, grid, patch)
            if rows and cols:
                if _is_off(rows, grid[0]) or _is_off(cols, grid[1]):
                    return False
                break
    return True


def _vectors(call: Call, sources: Sequence[ModuleTensor], layout: Layout) -> Iterator[Tensor]:
    """The patches' vectors, (patches, width): their values, or else what these were made from, as
    no gradient leads through weights in int8."""
    keys = layout.keys[layout.prefix :]
    values = call.value.transpose(1, 2).flatten(2).flatten(0, 1)
    if values.requires_grad:
        yield values[keys.clamp(min=0)] * (keys >= 0)[:, None]
    for _, tensor in sources:
        if tensor.requires_grad and tensor.shape[:-1] == (1, len(layout.keys)):
            yield tensor[0, layout.prefix :]


def _seen(vectors: Tensor, pixels: Tensor, grid: Grid, patch: Grid) -> list[list[Seen]]:
    """What some patches see, in the direction of rows and in that of columns."""
    steps = [max(2, side // TRIED) for side in grid]
    found: list[list[Seen]] = [[], []]
    for start in (0, 1):
        places = (range(start, side, step) for side, step in zip(grid, steps, strict=True))
        chosen = list(product(*places))
        energy = _energy(vectors, pixels, chosen, grid[1])
        for place in chosen:
            rows, cols = (
                slice(max(0, round((i - 0.5) * side)), round((i + 1.5) * side))
                for i, side in zip(place, patch, strict=True)
            )
            around = energy[rows, cols]
            for axis, first in enumerate((rows.start, cols.start)):
                shares = around.sum(dim=1 - axis)
                if shares.sum() > 0:
                    found[axis].append(_spread(shares, first, place[axis], patch[axis]))
    return found


def _spread(shares: Tensor, first: int, place: int, side: int) -> Seen:
    """What one patch sees, from the energy of pixels in a row, of which this is the first."""
    shares = shares / shares.sum()
    pixels = torch.arange(len(shares), dtype=shares.dtype)
    away = (pixels + first + 0.5) / side - (place + 0.5)
    middle = float(shares @ away)
    return Seen(place, middle, float(shares @ (away - middle).square()))


def _energy(
    vectors: Tensor, pixels: Tensor, chosen: Sequence[tuple[int, ...]], cols: int
) -> Tensor:
    """The square of the gradient of some patches' vectors, each in random directions, with respect
    to each pixel: (height, width)."""
    numbers = [row * cols + col for row, col in chosen]
    energy = torch.zeros(pixels.shape[-2:], dtype=torch.float32)
    for seed in range(DRAWS):
        directions = torch.zeros_like(vectors)
        directions[numbers] = noise(len(numbers), vectors.shape[1], seed=seed).to(vectors.dtype)
        gradient: Any
        [gradient] = torch.autograd.grad(
            vectors, pixels, directions, retain_graph=True, allow_unused=True
        )
        if gradient is not None:
            energy += gradient[0].float().square().sum(dim=0)
    return energy


def _is_off(seen: Sequence[Seen], count: int) -> bool:
    """Whether the line through the middles is too far off at one of its ends."""
    if np.mean([one.variance for one in seen]) > SHARP**2 / 12:  # of an even spread
        return False
    places, middles = [one.place for one in seen], [one.middle for one in seen]
    line = np.polyfit(places, middles, 1 if len(set(places)) > 2 else 0)
    return bool(np.abs(np.polyval(line, [0, count - 1])).max() > MOST_OFF)
