"""A small memory for what is derived from one thing and may be asked for again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Memo"]

T = TypeVar("T")


class Memo:
    """The last few results of each kind derived from one thing, by key; they go when it goes.

    A result that several threads ask for at once is computed once: the others wait.
    """

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._kinds: defaultdict[str, dict[Hashable, Any]] = defaultdict(dict)  # the last used last
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[Memo], tuple[int]]:
        """A copy, also in another process, remembers nothing."""
        return Memo, (self._size,)

    def get(
        self, key: Hashable, compute: Callable[[], T], kind: str = "", most: int | None = None
    ) -> T:
        """The result kept under `key`, computed now if there is none.

        Args:
            kind: what the result is; kinds do not push each other out.
            most: how many of its kind are kept, those used longest ago are let go.
        """
        with self._lock:
            results = self._kinds[kind]
            return self.keep(key, results[key] if key in results else compute(), kind, most)

    def keep(self, key: Hashable, result: T, kind: str = "", most: int | None = None) -> T:
        """Keep a result that was computed already, and return it."""
        with self._lock:
            results = self._kinds[kind]
            results.pop(key, None)
            results[key] = result
            while len(results) > (most or self._size):
                del results[next(iter(results))]
            return result

    def find(self, key: Hashable, kind: str = "") -> Any:
        """The result kept under `key`, which now counts as used last, or None."""
        with self._lock:
            results = self._kinds[kind]
            if key not in results:
                return None
            results[key] = results.pop(key)
            return results[key]

    def last(self, kind: str) -> Any:
        """The result of a kind that was used last, or None."""
        with self._lock:
            return next(reversed(self._kinds[kind].values()), None)
