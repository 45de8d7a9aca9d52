"""Whether tokens stand for the patches that they seem to stand for, by asking the model.

Pixels are changed, and the tokens said to lie there must be those that change. Patches may be
shuffled, stand in columns, or in front of a class token. Tokens that no pixel changes are no
patches: class tokens, registers, prompts, a decoder's queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitviz.models.core import channels_of, float_type
from vitviz.models.libraries import Grid
from vitviz.recording.centres import are_centred
from vitviz.recording.changes import without_result
from vitviz.recording.layout import Call, Layout
from vitviz.recording.noise import noise
from vitviz.recording.recorder import Recorder

__all__ = ["PhotoTokens", "in_place", "is_read_in_front", "photo_tokens"]
COARSE = 7  # rows of the coarsest pooled keys
SURE = 0.9  # share of the patches away from those changed that change less


@dataclass(frozen=True, eq=False)
class PhotoTokens:
    """Which queries and keys of one attention call are made from the photo, where attention moves
    nothing: booleans (windows · queries,) and (windows · keys,)."""

    queries: Tensor
    keys: Tensor

    @property
    def in_front(self) -> int:
        """How many keys come before the first that is made from the photo."""
        return int(self.keys.int().argmax())

    @property
    def behind(self) -> int:
        """How many come after the last."""
        return int(self.keys.flip(0).int().argmax())


@torch.no_grad()
def photo_tokens(module: nn.Module, size: Grid) -> list[PhotoTokens]:
    """Which tokens of each attention call differ between two photos of noise; attention is switched
    off, so that it carries nothing to class tokens and the like.

    Args:
        module: the model.
        size: (height, width) of its input.
    """
    shape = 1, channels_of(module), *size
    one, other = (_switched_off(module, noise(*shape, seed=seed)) for seed in (0, 1))
    return [
        PhotoTokens(_differ(a.query, b.query), _differ(a.value, b.value))
        for a, b in zip(one, other, strict=True)
    ]


def _differ(before: Tensor | None, after: Tensor | None) -> Tensor:
    """Which tokens of (windows, heads, tokens, dim) differ: (windows · tokens,)."""
    if before is None or after is None:  # the scores were made in a way that hides the queries
        return torch.zeros(0, dtype=torch.bool)
    change = (after.float() - before.float()).transpose(1, 2).flatten(2).norm(dim=-1).flatten()
    return change > 1e-5 * change.max()


def _switched_off(module: nn.Module, pixels: Tensor) -> list[Call]:
    """The model's attention calls where none of them has a result."""
    with Recorder(module, trace=True, changes=[without_result()]) as recorder:
        module(pixels.to(float_type(module)))
    return recorder.calls


@torch.no_grad()
def in_place(module: nn.Module, size: Grid, layouts: Sequence[Layout | None]) -> list[bool]:
    """Whether each call's values lie where its layout says.

    Pixels change in the places of a few patches: values said to be of these patches must change,
    and more than nearly all that are said to lie away from them; convolutions carry some of it
    there. Attention is switched off, so that it moves nothing in the layers before. Values that
    pixels reach through attention alone are of no patch. Channels cannot be asked and count as
    held. A model that draws random numbers has no places that hold in the next run. Nor may tokens
    be off by a part of a patch, see `are_centred`.

    Args:
        module: the model.
        size: (height, width) of its input.
        layouts: one for each attention call; None is not asked about.
    """

    def values(pixels: Tensor) -> list[Tensor]:
        return [call.value.float() for call in _switched_off(module, pixels)]

    pixels = noise(1, channels_of(module), *size)
    before, again = values(pixels), values(pixels)
    held = [torch.allclose(*pair, equal_nan=True) for pair in zip(before, again, strict=True)]
    asked = {n: x for n, x in enumerate(layouts) if x is not None and x.kind != "channel"}
    for grid, reach in {(layout.grid, _reach(layout)) for layout in asked.values()}:
        patches = _few(grid)
        changed = _enlarged(_around(patches, reach // 2), size)
        after = values(torch.where(changed, -pixels, pixels))
        for number, layout in asked.items():
            if (layout.grid, _reach(layout)) == (grid, reach):
                change = (after[number] - before[number]).transpose(1, 2).flatten(2).norm(dim=-1)
                held[number] &= _is_there(layout, change.flatten(), patches)
    if not are_centred(module, size, layouts):
        held = [False] * len(held)
    return held


def is_read_in_front(module: nn.Module, size: Grid, layer: str, prefix: int) -> bool:
    """Whether what the model gives depends on the first token's attention in its last layer and on
    no patch's: then that token is the class token, whatever its parameter is called.

    Args:
        module: the model.
        size: (height, width) of its input.
        layer: the module that attends last.
        prefix: tokens in front of the patches.
    """
    pixels = noise(1, channels_of(module), *size).to(float_type(module))
    with torch.inference_mode(False), torch.enable_grad(), Recorder(module) as recorder:
        given = module(pixels.clone().requires_grad_())
        attended = recorder.attended.get(layer)
        if attended is None or not given.requires_grad:  # weights in int8
            return False
        direction = noise(*given.shape, seed=1).to(given.dtype)
        [gradient] = torch.autograd.grad(given, attended, direction, allow_unused=True)
    if gradient is None or len(gradient) > 1:
        return False
    reached = gradient.float().square().sum(dim=(0, 1, 3))  # by token
    return bool(reached[0] > 0) and bool((reached[prefix:] <= 1e-10 * reached.max()).all())


def _is_there(layout: Layout, change: Tensor, patches: Tensor) -> bool:
    """Whether the slots that changed, (windows · keys,), are those of these patches."""
    keys = layout.keys[layout.prefix :]
    moved = change[keys.clamp(min=0)].where(keys >= 0, 0.0).view(layout.grid)
    own, away = moved[patches], moved[~_around(patches, 2 * _reach(layout) or 1)]
    share = (own[:, None] > away).float().mean()  # no number where none is away
    return bool((own > 0).all()) and not share < SURE


def _reach(layout: Layout) -> int:
    """Patches from one pooled key to the next, at most; a stride may leave some of them out."""
    return max(layout.grid[0] // COARSE, 1) if layout.kind == "pooled keys" else 0


def _around(patches: Tensor, reach: int) -> Tensor:
    """These patches and those up to so many rows and columns away."""
    return F.max_pool2d(patches[None].float(), 2 * reach + 1, 1, reach)[0] > 0


def _few(grid: Grid) -> Tensor:
    """Three patches that no turning or mirroring of the grid maps onto themselves, boolean."""
    rows, cols = grid
    patches = torch.zeros(rows, cols, dtype=torch.bool)
    patches[[0, rows // 2, rows - 1], [cols - 1, cols // 4, cols // 2]] = True
    return patches


def _enlarged(patches: Tensor, size: Grid) -> Tensor:
    """The pixels, (height, width), of patches (rows, cols)."""
    rows, cols = (torch.arange(n) * k // n for n, k in zip(size, patches.shape, strict=True))
    return patches[rows][:, cols]
