"""A head's attention as matrices: Q Kᵀ / √d, its softmax, and what X Xᵀ would do in its place.

Vaswani et al. 2017, arXiv 1706.03762: softmax(Q Kᵀ / √d) V.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.errors import MethodError, ModelError
from vitviz.inside.lens import Stream
from vitviz.recording.calls import AttentionCall
from vitviz.recording.recording import Recording

__all__ = [
    "Saturation",
    "asymmetry",
    "own_best",
    "saturation",
    "score_matrix",
    "token_products",
]


@dataclass(frozen=True)
class Saturation:
    """One row of attention, and how much it still moves with its scores.

    Attributes:
        weights: a = softmax(s · z), (tokens,).
        gradient: ‖∂a/∂(s z)‖, the Frobenius norm of the Jacobian.
    """

    weights: Tensor
    gradient: float


def score_matrix(rec: Recording, layer: int, head: int) -> Tensor:
    """Every token's scores before the softmax, Z = Q Kᵀ / √d, float32 (tokens, tokens): a row is a
    token that looks, a column one that is looked at.

    Raises:
        MethodError: if the model computed its map itself, so that no queries and keys were seen, or
            adds a bias to the scores.
    """
    call = rec.layers[layer]
    if not isinstance(call, AttentionCall) or call.mask is not None:
        raise MethodError(
            "no_plain_scores",
            "{model} does not show its scores as queries times keys; choose a plain Vision "
            "Transformer.",
            model=rec.vit.name,
        )
    group = head * call.key.shape[1] // call.query.shape[1]  # grouped queries share a key head
    return call.scale * call.query[0, head].float() @ call.key[0, group].float().T


@torch.no_grad()
def token_products(rec: Recording, stream: Stream, layer: int) -> Tensor:
    """The scores if queries and keys were the tokens themselves: X Xᵀ / √w, float32
    (tokens, tokens), with X as the layer's matrices read it, behind the norm.

    Raises:
        ModelError: if there is no layer norm in front of the layer's attention.
    """
    norm = rec.vit.anatomy.attention_norm(layer)
    if norm is None:
        raise ModelError(
            "no_norm_before_attention",
            "{model} has no layer norm in front of its attention.",
            model=rec.vit.name,
        )
    read = norm(stream.states[layer].to(rec.vit.anatomy.float_type)).float()
    return read @ read.T / math.sqrt(read.shape[1])


def asymmetry(scores: Tensor) -> float:
    """‖S − Sᵀ‖ / ‖S + Sᵀ‖ (Frobenius): 0 if each token is to another what the other is to it."""
    return float((scores - scores.T).norm() / (scores + scores.T).norm())


def own_best(scores: Tensor) -> float:
    """Share of the tokens whose highest score is that with themselves."""
    own = torch.arange(len(scores))
    return float((scores.argmax(dim=1) == own).float().mean())


def saturation(scores: Tensor, scale: float) -> Saturation:
    """A row's weights a if its scores, (tokens,), were `scale` times as large.

    The Jacobian J = diag(a) − a aᵀ says how each weight moves with each score. Its diagonal is
    a (1 − a), and the squares of all others sum to (Σ a²)² − Σ a⁴. It is 0 where one weight is 1:
    nothing is learned through a saturated softmax.
    """
    weights = (scale * scores).softmax(dim=-1)
    a = weights.double()
    diagonal = (a * (1 - a)).square().sum()
    others = a.square().sum().square() - a.pow(4).sum()
    return Saturation(weights, float((diagonal + others.clamp_min(0)).sqrt()))
