"""Many forward passes: a few inputs at a time, with progress, and a way to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

__all__ = ["Progress", "batches", "part_of"]

Progress = Callable[[float], object]
"""Called with the finished share, 0 to 1; whatever it raises ends the computation."""

TOKENS_AT_ONCE = 1028  # of all inputs of a batch; more is no faster on a processor


def batches(count: int, tokens: int, progress: Progress) -> Iterator[slice]:
    """Parts of `count` inputs of `tokens` tokens each, small enough to bound the memory."""
    size = max(1, TOKENS_AT_ONCE // tokens)
    for start in range(0, count, size):
        stop = min(start + size, count)
        yield slice(start, stop)
        progress(stop / count)


def part_of(progress: Progress | None, done: float, size: float, total: float) -> Progress:
    """Progress of a part as progress of the whole.

    Args:
        progress: of the whole.
        done: what comes before the part.
        size: of the part.
        total: of the whole, in the same unit.
    """
    return lambda share: progress((done + size * share) / total) if progress else None
