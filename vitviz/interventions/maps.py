"""Another map, and other values, in some heads of an attention call."""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.recording.calls import SoftmaxCall, for_each_head
from vitviz.recording.layout import Call

__all__ = ["values_of", "with_map"]


def values_of(call: Call) -> Tensor:
    """The values of every head, (batch, heads, keys, dim); grouped queries share some."""
    return for_each_head(call.value, call.shape[1])


def with_map(
    call: Call, result: Tensor, heads: Tensor, weights: Tensor, value: Tensor | None = None
) -> tuple[Call, Tensor]:
    """The call in which some heads look by another map, and its result; the same two where that
    changes nothing, to the last bit.

    Args:
        call: as the model makes it, or an earlier edit left it.
        result: what it returns, (batch, heads, queries, dim).
        heads: which of them, boolean (1, heads, 1, 1).
        weights: their map, float32, of a shape that expands to (batch, heads, queries, keys).
        value: their values, in the same way; None for the call's own.
    """
    own, own_value = call.rows(slice(None)), values_of(call)
    weights = torch.where(heads, weights, own)
    value = own_value if value is None else torch.where(heads, value, own_value)
    if torch.equal(weights, own) and torch.equal(value, own_value):
        return call, result
    edited = SoftmaxCall(call.module, weights, value)
    return edited, torch.where(heads, edited.result(), result)
