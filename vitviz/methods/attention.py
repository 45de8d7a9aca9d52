"""Raw attention: one row of one map."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from vitviz.heatmap import Heatmap
from vitviz.recording import Query, Recording

__all__ = ["all_head_maps", "attention", "head_maps"]


def attention(rec: Recording, query: Query, *, layer: int, head: int | None) -> Tensor:
    """Row `query` of A[layer, head], or of the mean over heads: (tokens,), sums to 1.

    Vaswani et al. 2017; Dosovitskiy et al. 2021.
    """
    rows = rec.attention_row(layer, query)  # (heads, tokens)
    return rows.mean(dim=0) if head is None else rows[head]


def head_maps(rec: Recording, layer: int, query: Query) -> dict[int | None, Heatmap]:
    """The same for every head of a layer at once, and under None for their mean."""
    rows = rec.attention_row(layer, query)  # (heads, tokens)
    maps = rec.patches(rows).numpy().astype(np.float32)
    mean = rec.patches(rows.mean(dim=0)).numpy().astype(np.float32)
    return {
        None: Heatmap(mean, rec.box, "attention"),
        **{head: Heatmap(values, rec.box, "attention") for head, values in enumerate(maps)},
    }


def all_head_maps(rec: Recording, query: Query) -> list[dict[int | None, Heatmap]]:
    """The same for every layer."""
    return [head_maps(rec, layer, query) for layer in range(rec.num_layers)]
