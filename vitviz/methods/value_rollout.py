"""Rollout weighted by the vectors that attention really moves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitviz.errors import MethodError
from vitviz.methods.method import (
    Method,
)
from vitviz.methods.rollout import RESIDUAL, START, flow
from vitviz.models.weights import as_floats
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "value_rollout"]


def value_rollout(rec: Recording, query: Query, *, start: int, residual: float) -> Tensor:
    """Rollout over the weights ‖Σ_h α_ij^h f_h(x_j)‖, each row divided by its sum: (tokens,).

    f_h(x) = (x W_V^h) W_O^h, Kobayashi et al. 2020, arXiv 2004.10102.

    Args:
        rec: from `record`.
        query: the token that information reaches: "cls", or a patch as (row, col).
        start: the first layer.
        residual: weight of the identity that is added to each layer, as in `rollout`.

    Raises:
        VitvizError: if there is no such patch.
        MethodError: if something other than W_O alone lies between the values and the output.

    Examples:
        >>> value_rollout(rec, "cls", start=0, residual=0.5).shape
        torch.Size([257])
    """
    products = [value_products(rec, layer) for layer in range(rec.num_layers)]

    def mixing(layer: int, rows: slice) -> Tensor:
        norms = moved_norms(rec.attention_rows(layer, rows), products[layer])
        total = norms.sum(dim=-1, keepdim=True)
        return norms / total.clamp_min(torch.finfo(total.dtype).tiny)  # 0 where nothing is moved

    return flow(rec, rec.query_weights(query), mixing, start=start, residual=residual)


def moved_norms(attention: Tensor, products: Tensor) -> Tensor:
    """‖Σ_h α_h u_h‖ = √(Σ_hg α_h α_g ⟨u_h, u_g⟩) for each query and key.

    Args:
        attention: (heads, rows, tokens).
        products: ⟨u_h, u_g⟩ of each token's transformed values, (heads, heads, tokens).
    """
    squared = torch.einsum("hrt,grt,hgt->rt", attention, attention, products)
    return squared.clamp_min(0).sqrt()  # rounding may leave a tiny negative


def value_products(rec: Recording, layer: int) -> Tensor:
    """Inner products of every token's values after W_O, between heads: (heads, heads, tokens)."""
    call = rec.layers[layer]
    value = rec.edited.factor(call.module) * call.value[0].float()  # (key heads, tokens, dim)
    heads, dim = rec.num_heads(layer), value.shape[-1]
    value = value.repeat_interleave(heads // value.shape[0], dim=0)
    weight = as_floats(_output_projection(rec, layer, heads * dim).weight)  # (width, heads·dim)
    per_head = weight.unflatten(1, (heads, dim))  # (width, heads, dim)
    # ⟨v_h W_h, v_g W_g⟩ = v_h (W_hᵀ W_g) v_g: no (heads, tokens, width) tensor is needed
    between = torch.einsum("whd,wge->hgde", per_head, per_head)
    return torch.einsum("htd,hgde,gte->hgt", value, between, value)


def _output_projection(rec: Recording, layer: int, width: int) -> nn.Linear:
    """W_O of a layer, if it is all that follows attention @ values."""
    projection = rec.vit.anatomy.joining_projection(rec.layers[layer].module, width)
    if projection is None:
        raise MethodError(
            "value_rollout_inapplicable",
            "Value-weighted rollout needs attention whose heads are joined by one linear "
            "projection, and {model} is not built so; use attention rollout.",
            model=rec.vit.name,
        )
    return projection


METHOD = Method(
    "value_rollout",
    4,
    "Value-weighted rollout",
    "The same, counting how much each token really adds.",
    value_rollout,
    "Kobayashi et al. 2020, arXiv 2004.10102",
    {"start": START, "residual": RESIDUAL},
    applies_to="Models that join their heads by one linear projection.",
)
