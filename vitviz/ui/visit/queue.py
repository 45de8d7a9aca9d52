"""Who runs the model when: short work first, long work one after the other in what it leaves."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from statistics import median

from vitviz.progress import Progress

__all__ = ["Place", "Queue"]

AT_ONCE = 2  # short works, or one and a batch of a long work
LONG_AT_ONCE = 1  # two are hardly faster together on two cores, and the first is done later
PATIENCE = 20  # short works that go before a long work's next batch when it may go, too
PULSE = 1.0  # s between two looks whether one who waits is still there
TELLING = 0.1  # a smaller finished share does not tell how long the rest takes


@dataclass(frozen=True)
class Place:
    """A long work's place in the queue.

    Attributes:
        ahead: how many long works go before it, those that run included.
        seconds: until it begins, from how long such works took here; None where that is not known.
    """

    ahead: int
    seconds: float | None


@dataclass(eq=False)
class _Long:
    """A long work; `began` is None while it waits."""

    visitor: Hashable
    kind: Hashable
    round: int = 0  # goes after all works of the rounds before, none of which has two of a visitor
    began: float | None = None
    share: float = 0.0  # finished
    running: bool = False  # a batch of it, just now
    passed: int = 0  # short works that went before its next batch


class Queue:
    """Shared by all threads of a server.

    A short work is one forward pass or a few, which somebody looks at a page for: it waits for
    other short works only. A long work is many batches of them. Between two of its batches it waits
    until no short work runs or waits; after `PATIENCE` of them it goes first, once. `LONG_AT_ONCE`
    long works are begun, no two of one visitor; the others wait, each visitor's first one
    before anybody's second.

    Example:
        >>> queue = Queue()
        >>> with queue.short():
        ...     pass  # a forward pass
        >>> with queue.long("a visitor", "comparison", print) as progress:
        ...     progress(0.5)  # half of it is done; here a short work may go first
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._changed = threading.Condition()
        self._short: list[object] = []  # that wait
        self._short_running = 0
        self._waiting: list[_Long] = []  # in the order in which they begin
        self._begun: list[_Long] = []
        self._round = 0  # of the one that began last
        self._took: defaultdict[Hashable, deque[float]] = defaultdict(lambda: deque(maxlen=5))

    @contextmanager
    def short(self, pulse: Callable[[], object] = lambda: None) -> Iterator[None]:
        """A turn for short work.

        Args:
            pulse: called every second while it waits; what it raises gives the place back.
        """
        ticket = object()
        with self._changed:
            self._short.append(ticket)
        try:
            self._wait(lambda: self._take_short(ticket), pulse)
        except BaseException:
            with self._change():
                self._short.remove(ticket)
            raise
        try:
            yield
        finally:
            with self._change():
                self._short_running -= 1

    @contextmanager
    def long(
        self, visitor: Hashable, kind: Hashable, tell: Callable[[Place | None], object]
    ) -> Iterator[Progress]:
        """A place for long work; yields what is to be called between two batches of it.

        Args:
            visitor: whose work it is.
            kind: works of one kind are expected to take as long as each other.
            tell: called every second while it waits, with its place, or None if it has begun; what
                it raises gives the place back.
        """
        work = _Long(visitor, kind)

        def next_batch() -> None:
            self._wait(lambda: self._take_batch(work), lambda: tell(None))

        def progress(share: float) -> None:
            with self._change():
                work.share, work.running = share, False
            next_batch()

        self._stand_in_line(work)
        try:
            self._wait(lambda: self._begin(work), lambda: tell(self._place(work)))
            next_batch()
            yield progress
            with self._changed:
                self._took[kind].append(self._spent(work))
        finally:
            with self._change():
                (self._waiting if work.began is None else self._begun).remove(work)

    def lengths(self) -> dict[tuple[str, str], int]:
        """How many works of each kind run, and how many wait; by kind and state."""
        with self._changed:
            return {
                ("short", "runs"): self._short_running,
                ("short", "waits"): len(self._short),
                ("long", "runs"): len(self._begun),
                ("long", "waits"): len(self._waiting),
            }

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Whatever gives something back, so that all who wait look whether they can have it."""
        with self._changed:
            yield
            self._changed.notify_all()

    def _wait(self, take: Callable[[], bool], pulse: Callable[[], object]) -> None:
        """Until `take` has taken what it is for."""
        with self._changed:
            taken = take()
        while not taken:
            pulse()  # not while everybody else is locked out
            with self._changed:
                taken = self._changed.wait_for(take, PULSE)

    def _running(self) -> int:
        return self._short_running + sum(work.running for work in self._begun)

    def _take_short(self, ticket: object) -> bool:
        paused = [work for work in self._begun if not work.running]
        overdue = any(work.passed >= PATIENCE for work in paused)
        if overdue or self._short[0] is not ticket or self._running() >= AT_ONCE:
            return False
        for work in paused:
            work.passed += 1
        with self._change():
            del self._short[0]
            self._short_running += 1
        return True

    def _take_batch(self, work: _Long) -> bool:
        others = bool(self._short or self._short_running)
        if (others and work.passed < PATIENCE) or self._running() >= AT_ONCE:
            return False
        with self._change():
            work.running, work.passed = True, 0
        return True

    def _stand_in_line(self, work: _Long) -> None:
        with self._changed:
            own = [w.round for w in [*self._begun, *self._waiting] if w.visitor == work.visitor]
            work.round = 1 + max(own) if own else self._round
            self._waiting.append(work)
            self._waiting.sort(key=lambda work: work.round)  # who came first stays first

    def _begin(self, work: _Long) -> bool:
        busy = {other.visitor for other in self._begun}
        free = [other for other in self._waiting if other.visitor not in busy]
        if len(self._begun) >= LONG_AT_ONCE or free[:1] != [work]:
            return False
        with self._change():
            self._waiting.remove(work)
            self._begun.append(work)
            self._round, work.began = work.round, self._clock()
        return True

    def _place(self, work: _Long) -> Place:
        with self._changed:
            before = takewhile(lambda other: other is not work, self._waiting)
            left = [self._left(other) for other in [*self._begun, *before]]
        known = [seconds for seconds in left if seconds is not None]
        seconds = sum(known) / LONG_AT_ONCE if len(known) == len(left) else None
        return Place(len(left), seconds)

    def _left(self, work: _Long) -> float | None:
        """Seconds that a work is expected to need yet."""
        if work.share >= TELLING:
            return self._spent(work) * (1 - work.share) / work.share
        if work.kind not in self._took:
            return None
        return max(0.0, median(self._took[work.kind]) - self._spent(work))

    def _spent(self, work: _Long) -> float:
        return 0.0 if work.began is None else self._clock() - work.began
