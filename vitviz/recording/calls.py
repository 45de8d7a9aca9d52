"""What one attention call was given, and the map that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["AttentionCall", "SoftmaxCall", "for_each_head"]


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """The arguments of one scaled dot product attention; the map is derived from them on demand.

    Shapes: query (batch, heads, queries, dim), key and value (batch, key heads, keys, dim), mask
    broadcastable to (batch, heads, queries, keys), boolean (True attends) or added to the scores.
    """

    module: str
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scale: float
    is_causal: bool

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What the map and its result are made from."""
        return self.query, self.key, self.value

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, heads, queries, keys) of the attention map."""
        batch, heads, queries, _ = self.query.shape
        return batch, heads, queries, self.key.shape[-2]

    def rows(self, rows: slice) -> Tensor:
        """Attention after the softmax for these queries, float32 (batch, heads, rows, keys).

        A row whose keys are all masked is 0, as in the primitive.
        """
        query = self.query[:, :, rows].float()
        key = for_each_head(self.key.float(), query.shape[1])
        with torch.autocast(query.device.type, enabled=False):
            scores = (query * self.scale) @ key.transpose(-2, -1)
        if self.mask is not None:
            scores = _apply_mask(scores, _take_rows(self.mask, rows))
        if self.is_causal:
            _, _, queries, keys = self.shape
            lower = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).tril()
            scores = _apply_mask(scores, lower[rows])
        weights = scores.softmax(dim=-1)
        if self.mask is not None:
            nowhere = scores.amax(dim=-1, keepdim=True) == float("-inf")
            weights = weights.masked_fill(nowhere, 0.0)  # instead of NaN
        return weights

    def result(self) -> Tensor:
        """attention @ values, (batch, heads, queries, dim), as the primitive gives it."""
        key, value = (for_each_head(x, self.query.shape[1]) for x in (self.key, self.value))
        return F.scaled_dot_product_attention(
            self.query, key, value, self.mask, is_causal=self.is_causal, scale=self.scale
        )

    def of(self, batch: int) -> AttentionCall:
        """One item of the batch, such as one window, as a call of its own."""
        one = slice(batch, batch + 1)
        mask = self.mask
        if mask is not None and mask.ndim == 4 and len(mask) > 1:
            mask = mask[one]
        query, key, value = self.query[one], self.key[one], self.value[one]
        return replace(self, query=query, key=key, value=value, mask=mask)


@dataclass(frozen=True, eq=False)
class SoftmaxCall:
    """An attention map the model computed itself, (batch, heads, queries, keys), and its values.

    The query, (batch, heads, queries, dim), is kept only where a recorder traces.
    """

    module: str
    weights: Tensor
    value: Tensor
    query: Tensor | None = None

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What its result is made from."""
        return self.weights, self.value

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, heads, queries, keys) of the attention map."""
        return tuple(self.weights.shape)

    def rows(self, rows: slice) -> Tensor:
        """Attention after the softmax for these queries, float32 (batch, heads, rows, keys)."""
        return self.weights[:, :, rows].float()

    def result(self) -> Tensor:
        """attention @ values, (batch, heads, queries, dim)."""
        return self.weights.to(self.value.dtype) @ self.value

    def of(self, batch: int) -> SoftmaxCall:
        """One item of the batch, such as one window, as a call of its own."""
        one = slice(batch, batch + 1)
        return replace(self, weights=self.weights[one], value=self.value[one], query=None)


def for_each_head(shared: Tensor, heads: int) -> Tensor:
    """Keys or values (batch, key heads, keys, dim), of which grouped queries share a head, as
    (batch, heads, keys, dim)."""
    groups = shared.shape[1]
    return shared if groups == heads else shared.repeat_interleave(heads // groups, dim=1)


def _take_rows(mask: Tensor, rows: slice) -> Tensor:
    """The mask of these query tokens; a mask of one row serves every query."""
    return mask if mask.ndim < 2 or mask.shape[-2] == 1 else mask[..., rows, :]


def _apply_mask(scores: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, float("-inf"))
    return scores + mask.float()
