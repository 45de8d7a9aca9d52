"""What one visitor may have opened on a server that others use, too."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vitviz.errors import ImageError
from vitviz.photos.load import too_costly

__all__ = ["Allowance"]

WHILE = 600.0  # s that a file counts
MOST_FILES = 200  # in that time; a course's five classes of twenty photos are a hundred
MOST_BYTES = 600 * 2**20  # the same
FIRST_PAUSE = 20.0  # s after the second file that took too long; then twice as long each time


@dataclass(eq=False)
class _Account:
    """One visitor's files of the last while."""

    asked: float  # when last
    opening: threading.Lock = field(default_factory=threading.Lock)  # held while one is opened
    files: deque[tuple[float, int]] = field(default_factory=deque)  # when, and how many bytes
    costly: deque[float] = field(default_factory=deque)  # when such a one was stopped

    def forget(self, before: float) -> None:
        while self.files and self.files[0][0] < before:
            self.files.popleft()
        while self.costly and self.costly[0] < before:
            self.costly.popleft()


class Allowance:
    """Opens one file of a visitor at a time, so many files and bytes in ten minutes, and none for a
    while after several that took too long: the pause grows with each.

    Shared by all threads of a server.

    Example:
        >>> allowance = Allowance()
        >>> with allowance.opening("a visitor", size=4_000_000):
        ...     pass  # the file is decoded here; another of the same visitor's waits
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._accounts: dict[Hashable, _Account] = {}
        self._lock = threading.Lock()

    @contextmanager
    def opening(self, visitor: Hashable, size: int) -> Iterator[None]:
        """For as long as a file of so many bytes is opened.

        Raises:
            ImageError: if the visitor has to wait.
        """
        account = self._account_of(visitor)
        with account.opening:
            now = self._clock()
            account.forget(now - WHILE)
            self._check(account, size, now)
            account.files.append((now, size))
            try:
                yield
            except ImageError as error:
                if error.id == too_costly().id:
                    account.costly.append(self._clock())
                raise

    def _account_of(self, visitor: Hashable) -> _Account:
        """The visitor's; those of visitors who brought nothing for a while are forgotten."""
        now = self._clock()
        with self._lock:
            self._accounts = {
                other: account
                for other, account in self._accounts.items()
                if account.asked > now - WHILE or account.opening.locked()
            }
            account = self._accounts.setdefault(visitor, _Account(now))
            account.asked = now
            return account

    def _check(self, account: _Account, size: int, now: float) -> None:
        times = len(account.costly)
        if times > 1 and (left := account.costly[-1] + FIRST_PAUSE * 2 ** (times - 2) - now) > 0:
            raise ImageError(
                "pause_after_costly",
                "{count} files of yours took too much to open, so the next one can be opened in "
                "{seconds} seconds.",
                count=times,
                seconds=math.ceil(left),
            )
        used = size + sum(other for _, other in account.files)
        if len(account.files) >= MOST_FILES or used > MOST_BYTES:
            raise ImageError(
                "too_much_brought",
                "You have brought {most} files or {size} MB within {minutes} minutes, the most "
                "that are opened here; wait some minutes.",
                most=MOST_FILES,
                size=MOST_BYTES >> 20,
                minutes=round(WHILE / 60),
            )
