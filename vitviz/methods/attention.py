"""Raw attention: one row of one map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.heatmap import Heatmap, MadeFrom
from vitviz.methods.made_from import made_from
from vitviz.methods.method import (
    HeadOption,
    LayerOption,
    Method,
)
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["HeadMaps", "all_head_maps", "attention", "chosen_head", "head_maps"]

HeadMaps = dict[int | None, Heatmap]  # of a layer, by head; None is their mean


def attention(rec: Recording, query: Query, *, layer: int, head: int | None) -> Tensor:
    """Row `query` of A[layer, head], or of the mean over heads: (tokens,), sums to 1.

    Vaswani et al. 2017, arXiv 1706.03762; Dosovitskiy et al. 2021, arXiv 2010.11929.

    Args:
        rec: from `record`.
        query: the token that looks: "cls", or a patch as (row, col).
        layer: from 0.
        head: from 0; None is the mean of all.

    Raises:
        VitvizError: if there is no such layer or patch, or the patch does not look in this layer.
        MethodError: if the layer has no such head.

    Examples:
        >>> row = attention(rec, (3, 4), layer=6, head=2)
        >>> row.shape, round(float(row.sum()), 3)
        (torch.Size([257]), 1.0)
    """
    return chosen_head(rec.attention_row(layer, query), head)


def chosen_head(heads: Tensor, head: int | None) -> Tensor:
    """One head's values of (heads, tokens), or the mean over them."""
    if head is not None and head >= len(heads):
        raise MethodError(
            "head_out_of_range",
            "Here the heads are 0 to {last}, and there is no {head}.",
            last=len(heads) - 1,
            head=head,
        )
    return heads.mean(dim=0) if head is None else heads[head]


def head_maps(rec: Recording, layer: int, query: Query) -> HeadMaps:
    """The same for every head of a layer at once, and under None for their mean."""
    return _maps(rec, layer, query, made_from(rec, METHOD.id, {}, query))


def all_head_maps(
    rec: Recording, query: Query, layers: Iterable[int] | None = None
) -> dict[int, HeadMaps]:
    """The same for several layers, by default all; nothing for one in which the query does not
    look."""
    made = made_from(rec, METHOD.id, {}, query)
    return {
        layer: _maps(rec, layer, query, made) if rec.looks(layer, query) else {}
        for layer in (range(rec.num_layers) if layers is None else layers)
    }


def _maps(rec: Recording, layer: int, query: Query, made: MadeFrom) -> HeadMaps:
    """A layer's, made from this but for the layer and the head."""
    rows = rec.attention_row(layer, query)  # (heads, tokens)
    maps = rec.patches(rows, layer).numpy().astype(np.float32)
    mean = rec.patches(rows.mean(dim=0), layer).numpy().astype(np.float32)

    def heatmap(values: NDArray[np.float32], head: int | None) -> Heatmap:
        own = replace(made, options={"layer": layer % rec.num_layers, "head": head})
        return Heatmap(values, rec.box, METHOD.id, own, rec.fingerprint)

    return {None: heatmap(mean, None)} | {
        head: heatmap(values, head) for head, values in enumerate(maps)
    }


METHOD = Method(
    "attention",
    1,
    "Attention",
    "Where does this head look, in this layer?",
    attention,
    "Vaswani et al. 2017, arXiv 1706.03762; Dosovitskiy et al. 2021, arXiv 2010.11929",
    {"layer": LayerOption("Layer", -1), "head": HeadOption("Head")},
    plain_only=False,
    raw_attention=True,
)
