"""Where the queries and keys of an attention call lie among the tokens of the photo.

A plain ViT has one map over all tokens in each layer. Other families cut the tokens into windows,
pool the keys, or let only the class token ask. What they do is not looked up: the model is asked. A
query (key, value) that was made from one token has a gradient with respect to that token alone, so
that the gradients of numbered slots say which slot each token went to.

Which patch a token stands for is asked too: pixels are changed, and the tokens said to lie there
must be those that change. Patches may be shuffled, stand in columns, or in front of a class token.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitviz.anatomy import float_type, is_timms
from vitviz.recorder import AttentionCall, Recorder, SoftmaxCall, Source

__all__ = ["Call", "Kind", "Layout", "find_layouts", "grid_of", "in_place"]

Call = AttentionCall | SoftmaxCall
Kind = Literal["global", "windowed", "pooled keys", "class attention", "channel"]
Grid = tuple[int, int]

NOWHERE = -1
COARSE = 7  # rows of the coarsest pooled keys
SURE = 0.9  # share of the patches away from those changed that change less
TRIED = 5  # slots that are made from several tokens


@dataclass(frozen=True, eq=False)
class Layout:
    """Where one layer's queries and keys lie.

    A call has one map for each item of its batch, here called a window; its slots are numbered
    through all windows.

    Attributes:
        kind: "global": every token looks at every token; "windowed": at those of its window;
            "pooled keys": several tokens share a key, or keys overlap and each is made from the
            tokens around its place; "class attention": only the class token looks; "channel":
            channels look at channels, tokens do not.
        grid: (rows, cols) of the patches that the layer reads.
        prefix: tokens in front of the patches.
        queries: for each token the slot that asks for it, (tokens,); −1 where none does.
        keys: for each token the slot that it is looked at in, (tokens,); −1 where there is none.
    """

    kind: Kind
    grid: Grid
    prefix: int
    queries: Tensor
    keys: Tensor

    def spread(self, call: Call, weights: Tensor) -> Tensor:
        """The weighted sum of the tokens' rows, (heads, tokens), for weights (tokens,).

        A key that several tokens share is shared out among them alike. What goes to padding is at
        no token, so that a row may sum to less than 1.
        """
        windows, heads, queries, keys = call.shape
        asking = (self.queries >= 0) & (weights != 0)
        asked = torch.zeros(windows * queries).index_add(0, self.queries[asking], weights[asking])
        looked = torch.zeros(windows, heads, keys)
        for window in asked.view(windows, queries).any(dim=1).nonzero().flatten().tolist():
            share = asked.view(windows, queries)[window]
            looked[window] = share @ call.of(window).rows(slice(None))[0]
        by_slot = looked.transpose(0, 1).flatten(1)  # (heads, windows · keys)
        here = self.keys >= 0
        sharing = self.keys[here].bincount(minlength=windows * keys).clamp(min=1)
        result = torch.zeros(heads, len(weights))
        result[:, here] = (by_slot / sharing)[:, self.keys[here]]
        return result

    def rows(self, call: Call, rows: slice) -> Tensor:
        """Where these tokens look, (heads, rows, tokens); 0 outside their window."""
        tokens = len(self.queries)
        chosen = torch.eye(tokens)[rows]
        return torch.stack([self.spread(call, one) for one in chosen], dim=1)


def grid_of(tokens: int, prefixes: Sequence[int], size: Grid) -> tuple[int, Grid] | None:
    """(prefix, grid) so that prefix + rows · cols = tokens and the grid has the input's shape.

    Args:
        tokens: how many there are.
        prefixes: numbers of prefix tokens to try, in order.
        size: (height, width) of the input.
    """
    height, width = size
    for prefix in prefixes:
        rows = round(max(0, (tokens - prefix) * height / width) ** 0.5)
        cols = rows * width // height
        if rows > 1 and rows * cols == tokens - prefix and rows * width == cols * height:
            return prefix, (rows, cols)
    return None


def find_layouts(module: nn.Module, size: Grid, prefixes: Sequence[int]) -> list[Layout | None]:
    """Where the queries and keys of each attention call lie; None where it cannot be told.

    The model runs once on random numbers, with an autograd graph. Where timm did not make it, what
    was found is checked, see `in_place`. One of another float type is copied first: half precision
    cannot tell many slots.

    Args:
        module: the model.
        size: (height, width) of its input.
        prefixes: numbers of prefix tokens that the model may have.
    """
    if float_type(module) != torch.float32:
        module = copy.deepcopy(module).float()
    with torch.inference_mode(False), torch.enable_grad():
        with Recorder(module, trace=True) as recorder:
            module(_noise(1, 3, *size).requires_grad_())
        found = [
            _layout(module, call, sources, prefixes, size)
            for call, sources in zip(recorder.calls, recorder.sources, strict=True)
        ]
    del recorder  # and with it the graph
    if is_timms(module):  # the coverage run has checked its family's places
        return found
    held = in_place(module, size, found)
    return [layout if holds else None for layout, holds in zip(found, held, strict=True)]


@torch.no_grad()
def in_place(module: nn.Module, size: Grid, layouts: Sequence[Layout | None]) -> list[bool]:
    """Whether each call's values lie where its layout says.

    Pixels change in the places of a few patches: values said to be of these patches must change,
    and more than nearly all that are said to lie away from them; convolutions carry some of it
    there. Attention is switched off, so that it moves nothing in the layers before. What cannot be
    asked counts as held: channels, and values that are reached through attention alone. A model
    that draws random numbers has no places that hold in the next run.

    Args:
        module: the model.
        size: (height, width) of its input.
        layouts: one for each attention call; None is not asked about.
    """
    off = dict.fromkeys(range(len(layouts)), torch.zeros(()))

    def values(pixels: Tensor) -> list[Tensor]:
        with Recorder(module, gates=off) as recorder:
            module(pixels.to(float_type(module)))
        return [call.value.float() for call in recorder.calls]

    pixels = _noise(1, 3, *size)
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
    return held


def _is_there(layout: Layout, change: Tensor, patches: Tensor) -> bool:
    """Whether the slots that changed, (windows · keys,), are those of these patches."""
    if not change.any():
        return True
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


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _layout(
    module: nn.Module,
    call: Call,
    sources: Sequence[Source],
    prefixes: Sequence[int],
    size: Grid,
) -> Layout | None:
    for name, prefix, grid, source, order in _token_tensors(call, sources, prefixes, size):
        tokens = torch.arange(prefix + grid[0] * grid[1])
        keys = _slots(call.value, source, order)
        if keys is None and _slots(call.value.transpose(-2, -1), source, order) is not None:
            return Layout("channel", grid, prefix, tokens, tokens)
        queries = None if call.query is None else _slots(call.query, source, order)
        pooled = (queries is None or keys is None) and call.shape[0] == 1
        if pooled and call.query is not None:  # what overlaps may still lie in a grid
            if queries is None:
                queries = _cells(call.query, source, order, prefix, grid, size)
            if keys is None:
                keys = _cells(call.value, source, order, prefix, grid, size)
        if queries is not None and keys is not None and (queries >= 0).any():
            queries, keys = (_raster(module, name, slots) for slots in (queries, keys))
            kind = "pooled keys" if pooled else _kind(call, grid, prefix, queries)
            return Layout(kind, grid, prefix, queries, keys)
    return None


def _kind(call: Call, grid: Grid, prefix: int, queries: Tensor) -> Kind:
    tokens = prefix + grid[0] * grid[1]
    if call.shape[0] > 1:
        return "windowed"
    if prefix and queries[0] >= 0 and (queries[1:] < 0).all():
        return "class attention"
    return "global" if call.shape[2:] == (tokens, tokens) else "pooled keys"


def _token_tensors(
    call: Call, sources: Sequence[Source], prefixes: Sequence[int], size: Grid
) -> Iterator[tuple[str, int, Grid, Tensor, str]]:
    """Tensors in front of a call that hold one vector a token: the name of their module, prefix,
    grid, tensor, order of axes.

    Those inside the attention module, where heads are apart already, are left out.
    """
    for name, tensor in sources:
        if name.startswith(f"{call.module}.") or not tensor.requires_grad:
            continue
        if tensor.ndim == 3:
            if found := grid_of(tensor.shape[1], prefixes, size):
                yield name, *found, tensor, "tokens"
            continue
        _, first, second, third = tensor.shape
        last = _fits((first, second), size), _fits((second, third), size)
        if last == (True, False):
            yield name, 0, (first, second), tensor, "channels last"
        elif last == (False, True):
            yield name, 0, (second, third), tensor, "channels first"


def _fits(grid: Grid, size: Grid) -> bool:
    """Whether a grid has the shape of the input and is no finer."""
    return grid[0] * size[1] == grid[1] * size[0] and grid[0] <= size[0]


def _slots(made: Tensor, source: Tensor, order: str) -> Tensor | None:
    """For each token of `source` the slot of `made` that it went to, (tokens,); −1 for none.

    `made`, (windows, heads, count, dim), has windows · count slots. None if some token went to more
    than one: the gradient of Σ_slots c · made is then not c times that of Σ_slots made.
    """
    windows, heads, count, dim = made.shape
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(1, heads, 1, dim, generator=generator)
    codes = torch.randn(windows * count, generator=generator)
    numbers = torch.arange(windows * count, dtype=torch.float32)
    plain = _gradient(made, source, direction.expand_as(made), order)
    if plain is None:
        return None
    by_number, by_code = (
        _gradient(made, source, c.view(windows, 1, count, 1) * direction, order)
        for c in (numbers, codes)
    )
    assert by_number is not None
    assert by_code is not None
    squared = plain.square().sum(dim=1)
    reached = squared > 1e-10 * squared.max()
    ratio = (by_number * plain).sum(dim=1) / squared.clamp(min=torch.finfo().tiny)
    slots = ratio.round().long().clamp(0, windows * count - 1)
    expected = codes[slots][:, None] * plain
    error = (by_code - expected).square().sum(dim=1).sqrt()
    if (error > 1e-2 * squared.sqrt())[reached].any():
        return None
    return torch.where(reached, slots, NOWHERE)


def _gradient(made: Tensor, source: Tensor, direction: Tensor, order: str) -> Tensor | None:
    """∂⟨direction, made⟩/∂source as (tokens, width); None if nothing of `source` is in `made`."""
    gradient: Any
    [gradient] = torch.autograd.grad(
        made, source, direction.to(made.dtype), retain_graph=True, allow_unused=True
    )
    if gradient is None:
        return None
    if order == "channels first":
        gradient = gradient.movedim(1, -1)
    found: Tensor = gradient.detach()[0].flatten(0, -2).float()
    return found


def _cells(
    made: Tensor, source: Tensor, order: str, prefix: int, grid: Grid, size: Grid
) -> Tensor | None:
    """Slots that are each made from several tokens, such as by a convolution with a stride: each
    token counts to the slot in whose cell of a coarser (or the same) grid it lies.

    None if the slots are no such grid, or the tokens that one of some tried is made from do not
    lie around its cell.
    """
    coarse = grid_of(made.shape[2], [prefix], size)
    if coarse is None or coarse[1] > grid:
        return None
    (rows, cols), (few_rows, few_cols) = grid, coarse[1]
    row = torch.arange(rows) * few_rows // rows
    col = torch.arange(cols) * few_cols // cols
    cells = prefix + row[:, None] * few_cols + col
    slots = torch.cat([torch.arange(prefix), cells.flatten()])
    cell_size = max(rows / few_rows, cols / few_cols)
    for tried in torch.linspace(prefix, made.shape[2] - 1, TRIED).long().tolist():
        direction = torch.zeros_like(made)
        direction[:, :, tried] = 1.0
        gradient = _gradient(made, source, direction, order)
        if gradient is None:
            return None
        middle = _middle(gradient.square().sum(dim=1)[prefix:], grid)
        own = _middle((slots == tried)[prefix:].float(), grid)
        if not (middle - own).abs().max() <= (cell_size + 1) / 2:  # also if it is not a number
            return None
    return slots


def _middle(weights: Tensor, grid: Grid) -> Tensor:
    """The weighted mean of the patches' (row, col)."""
    places = torch.cartesian_prod(*(torch.arange(side, dtype=torch.float32) for side in grid))
    return weights @ places / weights.sum()


def _raster(module: nn.Module, name: str, slots: Tensor) -> Tensor:
    """Slots of tokens in the order of the model → in rows and columns. Hiera keeps the tokens of a
    window together and says where they belong."""
    reroll: Any = getattr(module, "reroll", None)
    if reroll is None:
        return slots
    block = int(name.split(".")[1]) if name.startswith("blocks.") else 0
    numbers = torch.arange(len(slots)).view(1, -1, 1)
    return slots[reroll(numbers, max(block - 1, 0)).flatten()]
