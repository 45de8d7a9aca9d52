"""One query's attention, one step at a time: q·k, the scale, the softmax, the weighted sum.

Vaswani et al. 2017, arXiv 1706.03762: softmax(q Kᵀ / √d) V. The scale keeps the scores' spread near
1 whatever d is: a sum of d products of independent numbers has the spread √d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.errors import MethodError, VitvizError
from vitviz.recording.calls import AttentionCall
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = [
    "AttentionSteps",
    "attention_steps",
    "collected",
    "entropy",
    "head_steps",
    "regrouped",
]


@dataclass(frozen=True)
class AttentionSteps:
    """What one head computes for one query token.

    Attributes:
        query: (dim,).
        keys, values: of every token, (tokens, dim).
        products: q·k for every token, (tokens,).
        scores: the products times the scale, plus the head's bias where it has one, (tokens,).
        weights: softmax of the scores, (tokens,), sums to 1.
        output: Σ weight · value, (dim,).
    """

    query: Tensor
    keys: Tensor
    values: Tensor
    products: Tensor
    scores: Tensor
    weights: Tensor
    output: Tensor


def attention_steps(
    query: Tensor, keys: Tensor, values: Tensor, scale: float, bias: Tensor | float = 0.0
) -> AttentionSteps:
    """softmax(scale · q Kᵀ + bias) V, with everything on the way; shapes as in `AttentionSteps`.

    Args:
        scale: 1/√d in the paper; a smaller one is a higher temperature.
        bias: added to the scores, (tokens,).
    """
    products = keys @ query
    scores = products * scale + bias
    weights = scores.softmax(dim=-1)
    if bool((scores == float("-inf")).all()):
        weights = torch.zeros_like(scores)  # of a token that looks at none
    return AttentionSteps(query, keys, values, products, scores, weights, weights @ values)


def head_steps(
    rec: Recording, layer: int, head: int, query: Query = "cls", *, divisor: float | None = None
) -> AttentionSteps:
    """The steps of a recorded head, in float32.

    Args:
        rec: from `record`.
        layer: its layer.
        head: its number.
        query: "cls" or a patch as (row, column).
        divisor: what q·k is divided by; None is the model's own √d.

    Raises:
        VitvizError: if there is no such layer, head or patch.
        MethodError: if the model computed its map itself, so that no queries and keys were seen, or
            if "cls" is no single token in it.
    """
    heads = rec.num_heads(layer)
    if not 0 <= head < heads:
        raise VitvizError(
            "no_such_head_here",
            "There is no head {head}; layer {layer} has heads 0 to {last}.",
            head=head,
            layer=layer,
            last=heads - 1,
        )
    call = rec.layers[layer]
    tokens = rec.query_weights(query).nonzero().flatten()
    if not isinstance(call, AttentionCall) or len(tokens) > 1:
        raise MethodError(
            "no_query_and_keys",
            "{model} does not show the query and the keys of this token; choose a patch, "
            "or a model that computes attention by PyTorch's own function.",
            model=rec.vit.name,
        )
    token = int(tokens)
    group = head * call.key.shape[1] // heads  # grouped queries share a key head
    bias: Tensor | float = 0.0
    if call.mask is not None:
        row = call.mask.expand(call.shape)[0, head, token]
        hidden = (
            torch.zeros(row.shape, dtype=torch.float32).masked_fill(~row, float("-inf"))
            if row.dtype == torch.bool
            else row
        )
        bias = hidden.float()
    return attention_steps(
        call.query[0, head, token].float(),
        call.key[0, group].float(),
        call.value[0, group].float(),
        call.scale if divisor is None else 1 / divisor,
        bias,
    )


def collected(rec: Recording, layer: int, head: int) -> Tensor:
    """What a head collects for every token, A V: float32 (tokens, dim)."""
    value = rec.layers[layer].value[0]
    group = head * value.shape[0] // rec.num_heads(layer)
    return rec.attention(layer)[head] @ value[group].float()


def regrouped(rec: Recording, layer: int, heads: int, query: Query = "cls") -> Tensor:
    """One token's attention, were the layer's queries and keys cut into another number of heads.

    softmax(q Kᵀ / √d) with d = width / heads, (heads, tokens), in float32. The layer's own number
    of heads gives its own attention; another is a thought experiment, for its matrices were
    trained with that number.

    Raises:
        VitvizError: if there is no such layer or patch, or the width does not divide by `heads`.
        MethodError: as `head_steps`, or if the layer adds a bias or a mask to each head's scores.
    """
    own = [head_steps(rec, layer, head, query) for head in range(rec.num_heads(layer))]
    joined = torch.cat([steps.query for steps in own])
    keys = torch.cat([steps.keys for steps in own], dim=1)
    if heads < 1 or len(joined) % heads:
        raise VitvizError(
            "width_not_divisible",
            "A width of {width} cannot be cut into {heads} heads; choose a divisor of it.",
            width=len(joined),
            heads=heads,
        )
    call = rec.layers[layer]
    if isinstance(call, AttentionCall) and call.mask is not None:
        raise MethodError(
            "biased_scores",
            "{model} adds a bias to the scores of its heads; choose a model without one.",
            model=rec.vit.name,
        )
    parts, key_parts = joined.unflatten(0, (heads, -1)), keys.unflatten(1, (heads, -1))
    scores = torch.einsum("hd,thd->ht", parts, key_parts) / math.sqrt(parts.shape[1])
    return scores.softmax(dim=-1)


def entropy(weights: Tensor) -> float:
    """How widely attention is spread, −Σ a ln a in nats: 0 is one token, ln n all of n alike."""
    return float(torch.special.entr(weights).sum(dim=-1))
