"""What an object query does: it looks at a photo's tokens, and says where it found something.

Carion et al. 2020, DETR, arXiv 2005.12872: learned queries that belong to no place look at the
tokens by cross-attention, and each gives one box. DETR reads the box off its result with a small
network; here it is the mean and the spread of where the query looked, which needs no training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["looked_at", "looks_of"]


def looks_of(query: Tensor, keys: Tensor) -> Tensor:
    """Cross-attention of one query (dim,) to the patches' keys (rows, cols, dim): softmax of
    q·k / √d over all patches, (rows, cols)."""
    scores = keys @ query / math.sqrt(len(query))
    return scores.flatten().softmax(dim=0).unflatten(0, keys.shape[:2])


def looked_at(weights: Tensor) -> tuple[float, float, float, float]:
    """(top, left, bottom, right), in patches, of the box that has the mean and the spread of the
    weights (rows, cols), which sum to 1. Equal weights in a box give that box."""
    ends = []
    for axis in (0, 1):
        shares = weights.double().sum(dim=1 - axis)
        middles = torch.arange(len(shares), dtype=torch.float64) + 0.5
        mean = float(shares @ middles)
        variance = float(shares @ (middles - mean).square()) + 1 / 12  # a patch has an extent
        half = math.sqrt(3 * variance)
        ends.append((max(0.0, mean - half), min(float(len(shares)), mean + half)))
    (top, bottom), (left, right) = ends
    return top, left, bottom, right
