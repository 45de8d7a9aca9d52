"""A row of attention computed a few keys at a time, as FlashAttention does.

Dao et al. 2022, FlashAttention, arXiv 2205.14135, with the loops of Dao 2023, arXiv 2307.08691: a
block of queries stays in the fast memory while all keys and values pass by. The softmax needs no
row at once (Milakov & Gimelshein 2018, arXiv 1805.02867): what was summed so far is shrunk whenever
a larger score comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from vitviz.errors import VitvizError

__all__ = ["BlockStep", "Traffic", "blocked_attention", "memory_traffic"]

FLOAT = 4  # bytes


@dataclass(frozen=True)
class BlockStep:
    """What is known of one query's row after some of its keys.

    Attributes:
        keys: how many were read.
        largest: m, the largest score among them.
        shrunk: e^(m before − m), with which what was summed before is multiplied.
        total: ℓ = Σ e^(z − m).
        output: Σ e^(z − m) v / ℓ, (dim,).
    """

    keys: int
    largest: float
    shrunk: float
    total: float
    output: Tensor


@dataclass(frozen=True)
class Traffic:
    """Bytes that one head moves between the large memory and the fast one, in float32.

    Attributes:
        plain: with scores and weights written and read again.
        blocked: with neither.
    """

    plain: int
    blocked: int


def blocked_attention(scores: Tensor, values: Tensor, block: int) -> list[BlockStep]:
    """softmax(z) V of one query, `block` keys at a time; the last step's output is the result.

    Args:
        scores: z, (keys,).
        values: (keys, dim).
        block: keys that are read together.

    Raises:
        VitvizError: for a block without keys.
    """
    _check(block)
    largest, total = -math.inf, 0.0
    summed = values.new_zeros(values.shape[1])
    steps: list[BlockStep] = []
    for z, v in zip(scores.split(block), values.split(block), strict=True):
        before, largest = largest, max(largest, float(z.max()))
        shrunk, powers = math.exp(before - largest), (z - largest).exp()
        total = shrunk * total + float(powers.sum())
        summed = shrunk * summed + powers @ v
        keys = len(z) + (steps[-1].keys if steps else 0)
        steps.append(BlockStep(keys, largest, shrunk, total, summed / total))
    return steps


def memory_traffic(tokens: int, dim: int, block: int) -> Traffic:
    """What one head moves for n tokens of width d.

    Plain: Q, K and V are read and O is written, 4 n d numbers; scores and weights are each written
    and read, 4 n². Blocked, with `block` = B queries at a time: Q is read and O written once, and K
    and V are read for every block of queries, 2 n d + 2 n d ⌈n / B⌉.

    Raises:
        VitvizError: for a block without queries.

    Examples:
        >>> memory_traffic(257, 64, 128)
        Traffic(plain=1319952, blocked=526336)
    """
    _check(block)
    plain = 4 * tokens * dim + 4 * tokens**2
    blocked = 2 * tokens * dim * (1 + math.ceil(tokens / block))
    return Traffic(FLOAT * plain, FLOAT * blocked)


def _check(block: int) -> None:
    if block < 1:
        raise VitvizError(
            "empty_block", "A block holds at least one token, not {block}.", block=block
        )
