"""Positions as rotations: queries and keys are turned by where they stand.

Su et al. 2021, RoFormer, arXiv 2104.09864: numbers 2i and 2i + 1 of a vector are a point in a
plane, which is turned by p · θᵢ at place p, with θᵢ = base^(−2i / d). A turn by m and a turn by n
leave a product that depends on n − m alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vitviz.errors import VitvizError

__all__ = ["rotary_score", "rotated", "rotation_speeds"]

BASE = 10_000.0


def rotation_speeds(dim: int, base: float = BASE) -> Tensor:
    """θᵢ, the radians by which each pair of numbers is turned from one place to the next:
    (dim / 2,), the quickest first.

    Raises:
        VitvizError: if the numbers cannot be put into pairs.
    """
    if dim < 2 or dim % 2:
        raise VitvizError(
            "width_not_even", "A width of {width} cannot be cut into pairs of numbers.", width=dim
        )
    return base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)


def rotated(vectors: Tensor, places: Tensor, base: float = BASE) -> Tensor:
    """The vectors at their places, float64 (…, dim).

    Args:
        vectors: (…, dim), of queries or keys.
        places: (…,), such as the column of a patch.
        base: how much the speeds of the pairs differ.

    Raises:
        VitvizError: as `rotation_speeds`.

    Examples:
        >>> rotated(torch.tensor([1.0, 0.0]), torch.tensor(torch.pi / 2)).round(decimals=6).tolist()
        [0.0, 1.0]
    """
    angles = places.double()[..., None] * rotation_speeds(vectors.shape[-1], base)
    x, y = vectors.double().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1).flatten(-2)


def rotary_score(query: Tensor, key: Tensor, m: int, n: int, base: float = BASE) -> float:
    """z = (R_m q)·(R_n k) / √d of a query (dim,) at place m and a key (dim,) at place n; it is the
    same for all m and n of one n − m.

    Raises:
        VitvizError: as `rotation_speeds`.
    """
    turned = rotated(torch.stack([query, key]), torch.tensor([m, n]), base)
    return float(turned[0] @ turned[1]) / math.sqrt(len(query))
