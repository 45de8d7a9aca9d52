"""Attention without a softmax, whose sums are taken once for all queries.

Katharopoulos et al. 2020, Transformers are RNNs, arXiv 2006.16236: a weight is φ(q)·φ(k) over its
sum, with φ(x) = elu(x) + 1 > 0. Then φ(Q) (φ(K)ᵀ V) is (φ(Q) φ(K)ᵀ) V, and the tokens × tokens map
need not exist.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["feature_map", "linear_output", "linear_weights"]


def feature_map(vectors: Tensor) -> Tensor:
    """φ(x) = elu(x) + 1: x + 1 above 0 and eˣ below, so always positive."""
    return F.elu(vectors) + 1


def linear_weights(queries: Tensor, keys: Tensor) -> Tensor:
    """What each query gives to each key, (queries, dim) and (keys, dim) → (queries, keys); rows sum
    to 1."""
    products = feature_map(queries) @ feature_map(keys).T
    return products / products.sum(dim=1, keepdim=True)


def linear_output(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The weighted sums of values (keys, width) without the weights: (queries, width).

    φ(K)ᵀ V, (dim, width), and Σ φ(k), (dim,), are made once and read by every query.
    """
    read, offered = feature_map(queries), feature_map(keys)
    return read @ (offered.T @ values) / (read @ offered.sum(dim=0))[:, None]
