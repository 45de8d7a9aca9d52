"""Which token looks, and sums over the rows of many tokens' attention."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal

import numpy as np
from torch import Tensor

from vitviz.errors import VitvizError

__all__ = [
    "ROWS_AT_ONCE",
    "Query",
    "as_query",
    "check_layer",
    "check_patch",
    "is_cls",
    "is_place",
    "sum_rows",
]

Query = Literal["cls"] | tuple[int, int]
"""The token that looks: "cls", or a patch as (row, column)."""

ROWS_AT_ONCE = 64  # rows of a map held at a time: the working set stays near the cache


def as_query(query: Any) -> Query:
    """A query whose patch may be a list, a tensor or an array, as a tuple of two ints."""
    if isinstance(query, (np.ndarray, Tensor)):
        query = query.tolist()
    if isinstance(query, list):
        query = tuple(query)
    if isinstance(query, tuple) and all(map(is_place, query)):
        return tuple(int(place) for place in query)  # type: ignore[return-value]
    found: Query = query
    return found


def is_place(value: object) -> bool:
    """Whether it can be a row or a column; a truth value is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_layer(layer: int, layers: int) -> None:
    """VitvizError if there is no such layer among so many; negative ones count from the last."""
    if not (isinstance(layer, Integral) and -layers <= layer < layers):
        raise VitvizError(
            "no_such_layer",
            "There is no layer {layer}; this model's layers are 0 to {last}.",
            layer=layer,
            last=layers - 1,
        )


def check_patch(patch: tuple[int, int], grid: tuple[int, int]) -> None:
    """VitvizError if there is no such patch, (row, col), in a grid of (rows, cols)."""
    if not all(0 <= place < count for place, count in zip(patch, grid, strict=True)):
        raise VitvizError(
            "no_such_patch",
            "There is no patch {row},{col}; the grid has {rows} × {cols}.",
            row=patch[0],
            col=patch[1],
            rows=grid[0],
            cols=grid[1],
        )


def is_cls(query: object) -> bool:
    """Whether it is "cls"; an array would answer for each of its elements."""
    return isinstance(query, str) and query == "cls"


def sum_rows(weights: Tensor, rows_of: Callable[[slice], Tensor]) -> Tensor:
    """The weighted sum of a map's rows, Σᵢ wᵢ · rowᵢ, with few rows in memory at a time.

    Args:
        weights: (tokens,).
        rows_of: slice of query tokens → their rows (…, rows, tokens).

    Returns:
        (…, tokens). A single row with weight costs that row only.
    """
    used = weights.nonzero().flatten()
    if len(used) == 1:
        row = int(used)
        return rows_of(slice(row, row + 1))[..., 0, :] * weights[row]
    total: Tensor | None = None
    for start in range(0, len(weights), ROWS_AT_ONCE):
        chunk = slice(start, min(start + ROWS_AT_ONCE, len(weights)))
        part = weights[chunk] @ rows_of(chunk)
        total = part if total is None else total + part
    assert total is not None
    return total
