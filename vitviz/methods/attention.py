"""Raw attention: one row of one map."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.heatmap import Heatmap
from vitviz.recording import Query, Recording

__all__ = ["all_head_maps", "attention", "head_maps", "pooling"]


def attention(rec: Recording, query: Query, *, layer: int, head: int | None) -> Tensor:
    """Row `query` of A[layer, head], or of the mean over heads: (tokens,), sums to 1.

    Vaswani et al. 2017; Dosovitskiy et al. 2021.
    """
    return _chosen(rec.attention_row(layer, query), head)


def pooling(rec: Recording, *, head: int | None) -> Tensor:
    """The pooling head's attention from its learned query, or the mean over its heads: (tokens,).

    Where the head leaves out the prefix tokens, they get 0. Several queries are averaged. Lee et
    al. 2019, arXiv 1810.00825.

    Raises:
        MethodError: if the model has no attention-pooling head.
    """
    if rec.pool is None:
        raise MethodError(
            f"{rec.vit.name} has no attention-pooling head; use attention or rollout."
        )
    heads = rec.pool.rows(slice(None))[0].mean(dim=1)  # (heads, keys)
    looked = _chosen(heads, head)
    return F.pad(looked, (rec.num_tokens - len(looked), 0))


def _chosen(heads: Tensor, head: int | None) -> Tensor:
    """One head's values of (heads, tokens), or the mean over them."""
    if head is not None and head >= len(heads):
        raise MethodError(f"Here the heads are 0 to {len(heads) - 1}, and there is no {head}.")
    return heads.mean(dim=0) if head is None else heads[head]


def head_maps(rec: Recording, layer: int, query: Query) -> dict[int | None, Heatmap]:
    """The same for every head of a layer at once, and under None for their mean."""
    rows = rec.attention_row(layer, query)  # (heads, tokens)
    maps = rec.patches(rows, layer).numpy().astype(np.float32)
    mean = rec.patches(rows.mean(dim=0), layer).numpy().astype(np.float32)
    return {
        None: Heatmap(mean, rec.box, "attention"),
        **{head: Heatmap(values, rec.box, "attention") for head, values in enumerate(maps)},
    }


def all_head_maps(rec: Recording, query: Query) -> list[dict[int | None, Heatmap]]:
    """The same for every layer; nothing for one in which the query does not look."""
    return [
        head_maps(rec, layer, query) if rec.looks(layer, query) else {}
        for layer in range(rec.num_layers)
    ]
