"""Raw attention: one row of one map."""

from __future__ import annotations

from torch import Tensor

from vitviz.recording import Query, Recording

__all__ = ["attention"]


def attention(rec: Recording, query: Query, *, layer: int, head: int | None) -> Tensor:
    """Row `query` of A[layer, head], or of the mean over heads: (tokens,), sums to 1.

    Vaswani et al. 2017; Dosovitskiy et al. 2021.
    """
    rows = rec.attention_row(layer, query)  # (heads, tokens)
    return rows.mean(dim=0) if head is None else rows[head]
