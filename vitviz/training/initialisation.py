"""How large the first random weights are, and what becomes of the activations.

Glorot & Bengio 2010 (Xavier); He et al. 2015, arXiv 1502.01852. Through a matrix whose numbers have
variance σ², behind a ReLU, the mean square of a vector of n numbers is multiplied with n σ² / 2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["KINDS", "activation_sizes", "initial_weight"]

KINDS = ("large", "he", "xavier", "truncated")
SPREAD, LARGE = 0.02, 0.1  # σ of a ViT's matrices, and one that is too large
INPUTS = 256  # random vectors


def initial_weight(kind: str, width: int, generator: torch.Generator) -> Tensor:
    """A matrix (width, width) before any training: “he”, “xavier”, “truncated” or “large”."""
    weight = torch.empty(width, width)
    match kind:
        case "he":
            return nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        case "xavier":
            return nn.init.xavier_normal_(weight, generator=generator)
        case "truncated":
            return nn.init.trunc_normal_(weight, std=SPREAD, generator=generator)
        case _:
            return nn.init.normal_(weight, std=LARGE, generator=generator)


@torch.no_grad()
def activation_sizes(kind: str, layers: int, width: int, *, residual: bool) -> list[float]:
    """Root mean square of the activations after 0, 1, … layers of x ← W·ReLU(x), or with a layer
    norm and a residual connection, x ← x + W·ReLU(LN x); always the same random numbers."""
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(INPUTS, width, generator=generator)
    sizes = [_size(state)]
    for _ in range(layers):
        weight = initial_weight(kind, width, generator)
        given = F.layer_norm(state, (width,)) if residual else state
        added = given.relu() @ weight.T
        state = state + added if residual else added
        sizes.append(_size(state))
    return sizes


def _size(state: Tensor) -> float:
    return float(state.square().mean().sqrt())
