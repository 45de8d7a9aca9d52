"""A small memory for what is derived from one thing and may be asked for again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Memo"]

T = TypeVar("T")


class Memo:
    """The last few results derived from one thing, by key; they go when it goes.

    A result that several threads ask for at once is computed once: the others wait.
    """

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._results: dict[Hashable, Any] = {}  # the most recently used last
        self._lock = threading.RLock()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result kept under `key`, computed now if there is none."""
        with self._lock:
            result = self._results.pop(key) if key in self._results else compute()
            self._results[key] = result
            while len(self._results) > self._size:
                del self._results[next(iter(self._results))]
            return result
