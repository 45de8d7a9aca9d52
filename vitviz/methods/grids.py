"""Rollout through layers that cut windows, share keys, or have grids of their own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.models.libraries import Grid
from vitviz.recording.chain import is_chain
from vitviz.recording.layout import Layout
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["flow_through_grids"]


def flow_through_grids(
    rec: Recording,
    query: Query,
    fuse: Callable[[Tensor], Tensor],
    *,
    start: int,
    residual: float,
) -> Tensor:
    """Row `query` of Ã_L M_L … Ã_start M_start, on the finest grid: (tokens,), sums to 1.

    Each Ã = n((1−w) · fuse(A) + w · I) is over all tokens of its layer: 0 outside a token's window,
    a shared key's share at each of its tokens, and the identity for tokens that do not look. M is
    the mean that a coarser grid's patch takes of the finer patches under it, which stands for
    merging, pooling and convolutions with a stride.

    Args:
        rec: of a model whose layers have layouts.
        query: the token that information reaches: "cls", or a patch as (row, col).
        fuse: of a map's heads, (heads, queries, keys) → (queries, keys).
        start: the first layer.
        residual: w.

    Raises:
        VitvizError: if there is no such patch, or it does not look in the last layer.
        MethodError: if some layers are left out, do not follow each other, or their grids do not
            merge one into the next; if channels look at channels in one.
    """
    _require_merging(rec)
    front, last = rec.num_prefix_tokens, rec.layouts[-1]
    weights = rec.layer_weights(rec.num_layers - 1, query)
    weights, grid = F.pad(weights, (front - last.prefix, 0)), last.grid
    for layer in reversed(range(start, rec.num_layers)):
        layout = rec.layouts[layer]
        weights, grid = _shared_out(weights, front, grid, layout.grid), layout.grid
        before, own = weights.split([front - layout.prefix, len(layout.queries)])
        weights = torch.cat([before, _through_layer(rec, layer, own, fuse, residual)])
    return _shared_out(weights, front, grid, rec.grid)


def _require_merging(rec: Recording) -> None:
    """MethodError unless every layer is there, reads the one before, and its patches are made of
    whole ones."""
    if rec.left_out:
        raise MethodError(
            "rollout_with_gaps",
            "{count} attention modules of {model} are not shown, and rollout needs every layer; "
            "use attention, which shows each layer by itself, or occlusion.",
            count=len(rec.left_out),
            model=rec.vit.name,
        )
    if any(layout.kind == "channel" for layout in rec.layouts):
        raise MethodError(
            "rollout_of_channels",
            "In some layers of {model} channels look at channels, which moves information in a way "
            "that no map of patches shows; use attention, which shows each layer by itself, or "
            "occlusion.",
            model=rec.vit.name,
        )
    if not (_merge(rec) and _is_chain(rec)):
        raise MethodError(
            "grids_do_not_merge",
            "The layers of {model} do not read one another on grids that merge, as rollout needs "
            "it; use attention, which shows each layer by itself, or occlusion.",
            model=rec.vit.name,
        )


def _merge(rec: Recording) -> bool:
    """Whether each grid is made of whole patches of the one before, and all of them look where some
    do."""
    grids = [rec.grid, *(layout.grid for layout in rec.layouts)]
    return all(map(_all_look, rec.layouts)) and all(
        fine % coarse == 0 for pair in pairwise(grids) for fine, coarse in zip(*pair, strict=True)
    )


def _all_look(layout: Layout) -> bool:
    """Whether a layer is for all patches or none."""
    looking = layout.queries[layout.prefix :] >= 0
    return bool(looking.all()) or not looking.any()


def _is_chain(rec: Recording) -> bool:
    """Whether each layer reads what the one before wrote, as in timm's models; another is asked
    once for a size."""
    if rec.vit.anatomy.is_timms:
        return True
    height, width = rec.pixels.shape[-2:]
    names = [call.module for call in rec.layers]
    return rec.vit.layouts.get(
        (height, width), lambda: is_chain(rec.vit.module, (height, width), names), "chain"
    )


def _shared_out(weights: Tensor, front: int, coarse: Grid, fine: Grid) -> Tensor:
    """What a coarser grid's patches have, shared out among the finer ones under each."""
    if coarse == fine:
        return weights
    down, across = (n // k for n, k in zip(fine, coarse, strict=True))
    patches = weights[front:].view(coarse) / (down * across)
    finer = patches.repeat_interleave(down, 0).repeat_interleave(across, 1)
    return torch.cat([weights[:front], finer.flatten()])


def _through_layer(
    rec: Recording,
    layer: int,
    weights: Tensor,
    fuse: Callable[[Tensor], Tensor],
    residual: float,
) -> Tensor:
    """The tokens' weights times a layer's Ã, (tokens,); no map over all tokens is ever held."""
    call, layout = rec.layers[layer], rec.layouts[layer]
    windows, _, queries, keys = call.shape
    asking, seen = layout.queries >= 0, layout.keys >= 0
    of_query, of_key = layout.queries[asking], layout.keys[seen]
    tokens_of_key = of_key.bincount(minlength=windows * keys).view(windows, keys)
    asked = weights.new_zeros(windows * queries).index_add_(0, of_query, weights[asking])
    looked, kept = weights.new_zeros(windows, keys), weights.new_zeros(windows, queries)
    for window, share in enumerate(asked.view(windows, queries)):
        if share.any():
            rows = fuse(call.of(window).rows(slice(None))[0]) * (tokens_of_key[window] > 0)
            mixed = (1 - residual) * rows
            total = mixed.sum(dim=-1) + residual
            alone = (total == 0).float()  # min of heads that share nothing: it keeps to itself
            kept[window] = (residual + alone) / (total + alone)
            looked[window] = share / (total + alone) @ mixed
    result = weights.clone()  # who does not look keeps all
    result[asking] *= kept.flatten()[of_query]
    result[seen] += (looked / tokens_of_key.clamp(min=1)).flatten()[of_key]
    return result
