"""Finding where the queries and keys of a model's attention calls lie, by asking the model.

A query (key, value) that was made from one token has a gradient with respect to that token alone,
so that the gradients of numbered slots say which slot each token went to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitviz.errors import Phrase
from vitviz.models.anatomy import Anatomy
from vitviz.models.core import channels_of, float_type
from vitviz.models.libraries import Grid, is_timms
from vitviz.recording.layout import NOWHERE, Call, Kind, Layout, grid_of
from vitviz.recording.noise import noise
from vitviz.recording.places import PhotoTokens, in_place, photo_tokens
from vitviz.recording.recorder import ModuleTensor, Recorder

__all__ = ["NO_PLACES", "find_layouts", "tokens_before"]
TRIED = 5  # slots that are made from several tokens

NO_PLACES = Phrase(
    "tokens_no_places",
    "the photo reaches its tokens through other attention alone, like the queries of a decoder",
)


def find_layouts(module: nn.Module, size: Grid, prefixes: Sequence[int]) -> list[Layout | Phrase]:
    """Where the queries and keys of each attention call lie, or why it cannot be told.

    The model runs once on random numbers, with an autograd graph. Where timm did not make it, how
    many tokens stand in front of the patches is measured, see `photo_tokens`, and what was found is
    checked, see `in_place`. One of another float type is copied first: half precision cannot tell
    many slots.

    Args:
        module: the model.
        size: (height, width) of its input.
        prefixes: numbers of prefix tokens that the model may have.
    """
    if float_type(module) != torch.float32:
        module = copy.deepcopy(module).float()
    as_it_is = torch.autocast("cpu", enabled=False)  # nor in the half precision of the caller
    with torch.inference_mode(False), torch.enable_grad(), as_it_is:
        with Recorder(module, trace=True) as recorder:
            module(noise(1, channels_of(module), *size).requires_grad_())
        calls = recorder.calls
        known = is_timms(module)  # the coverage run has checked its family's places
        of_photo = [None] * len(calls) if known else photo_tokens(module, size)
        found = [
            None if _are_no_places(tokens) else _layout(module, call, sources, tried, size)
            for call, sources, tokens in zip(calls, recorder.sources, of_photo, strict=True)
            for tried in [[tokens.in_front, *prefixes] if tokens else prefixes]
        ]
        shapes = [call.shape for call in calls]
    del recorder, calls  # and with them the graph
    held = [True] * len(found) if known else in_place(module, size, found)
    return [
        layout if layout and holds else _why_not(shape, tokens)
        for layout, holds, shape, tokens in zip(found, held, shapes, of_photo, strict=True)
    ]


def tokens_before(
    module: nn.Module, call: Call, sources: Sequence[ModuleTensor], layout: Layout, size: Grid
) -> tuple[Tensor, Callable[[Tensor], Tensor]] | None:
    """The last tensor in front of a call that holds one vector for each of its tokens, and how such
    a tensor becomes (tokens, width) in rows and columns; None if there is none.

    Args:
        module: the model.
        call: one of its calls.
        sources: what it may have been made from, with an autograd graph.
        layout: where its tokens lie.
        size: (height, width) of the input.
    """
    for name, prefix, grid, source, order in _token_tensors(call, sources, [layout.prefix], size):
        if (prefix, grid) == (layout.prefix, layout.grid):
            places = _raster(module, name, torch.arange(len(layout.queries)))

            def in_raster(values: Tensor, order: str = order, places: Tensor = places) -> Tensor:
                return _vectors(values, order)[places]

            return source, in_raster
    return None


def _are_no_places(tokens: PhotoTokens | None) -> bool:
    """Whether several queries are all made from something else than the photo."""
    return bool(tokens and len(tokens.queries) > 1 and not tokens.queries.any())


def _any(of_photo: Tensor) -> bool:
    """Whether some tokens are made from the photo, or nobody knows."""
    return bool(of_photo.any()) or len(of_photo) == 0


def _why_not(shape: Sequence[int], tokens: PhotoTokens | None) -> Phrase:
    """Why the tokens of a call cannot be placed."""
    if tokens and not (_any(tokens.keys) and _any(tokens.queries)):
        return NO_PLACES
    if tokens and shape[0] == 1 and tokens.behind:
        return Phrase(
            "tokens_behind",
            "{count} of its tokens stand behind the patches and are none",
            count=tokens.behind,
        )
    return Phrase("tokens_not_placed", "where its tokens lie could not be told")


def _layout(
    module: nn.Module,
    call: Call,
    sources: Sequence[ModuleTensor],
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
    call: Call, sources: Sequence[ModuleTensor], prefixes: Sequence[int], size: Grid
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
    direction, codes = (
        torch.randn(*shape, generator=generator, dtype=torch.float32)
        for shape in ((1, heads, 1, dim), (windows * count,))
    )
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
    ratio = (by_number * plain).sum(dim=1) / squared.clamp(min=torch.finfo(squared.dtype).tiny)
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
    return None if gradient is None else _vectors(gradient, order)


def _vectors(values: Tensor, order: str) -> Tensor:
    """A tensor of one vector a token, as (tokens, width)."""
    if order == "channels first":
        values = values.movedim(1, -1)
    return values.detach()[0].flatten(0, -2).float()


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
    # Not ones: what a norm gives has a constant sum, whose gradient is rounding.
    generator = torch.Generator().manual_seed(0)
    across = torch.randn(made.shape[1], made.shape[3], generator=generator)
    for tried in torch.linspace(prefix, made.shape[2] - 1, TRIED).long().tolist():
        direction = torch.zeros_like(made)
        direction[:, :, tried] = across
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
    anatomy = Anatomy(module)
    if (reroll := anatomy.reroll) is None:
        return slots
    name = name.removeprefix(f"{anatomy.core_name}.")
    block = int(name.split(".")[1]) if name.startswith("blocks.") else 0
    numbers = torch.arange(len(slots)).view(1, -1, 1)
    return slots[reroll(numbers, max(block - 1, 0)).flatten()]
