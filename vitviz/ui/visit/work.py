"""A long work, in a thread of its own and in the queue of all visitors."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from threading import Event
from typing import Any, Generic, TypeVar

from vitviz.ui.visit.metrics import WAIT
from vitviz.ui.visit.queue import TELLING, Place, Queue
from vitviz.ui.visit.streamlit_private import browser, connected, serving, session_id

__all__ = ["Work"]

PULSE = 0.2  # s between two looks at a work
AWAY = 60.0  # s after which one who has closed the page is not waited for
SOON = 2.0  # s: nobody is told how long a shorter wait takes
T = TypeVar("T")


class Stopped(Exception):
    """Nobody wants the work any more."""


class Work(Generic[T]):
    """One that is under way; it goes on when its page is left.

    Attributes:
        asked: what it shall find; equal for equal works.
        place: in the queue; None once it has begun.
        share: finished.
        told: what it has found so far; None before the first.
    """

    def __init__(
        self,
        queue: Queue,
        asked: Hashable,
        do: Callable[[Work[T]], T],
        kind: Hashable,
        take_cores: Callable[[], None],
    ) -> None:
        """Begin. For a page's own run: in the thread there is no page and no language.

        Args:
            queue: that it waits in.
            do: what is done; it calls `progress` between two batches.
            kind: works of one kind are expected to take as long as each other.
            take_cores: lets the thread compute on as many cores as it may have by now.
        """
        self.asked, self.share = asked, 0.0
        self.place: Place | None = None
        self.told: Any = None
        self._session, self._visitor, self._take_cores = session_id(), browser(), take_cores
        self._stop, self._seen, self._began = Event(), time.monotonic(), 0.0
        thread = ThreadPoolExecutor(1, "work")
        self._found: Future[T] = thread.submit(self._run, queue, do, kind)
        thread.shutdown(wait=False)

    def _run(self, queue: Queue, do: Callable[[Work[T]], T], kind: Hashable) -> T:
        with ExitStack() as held:
            with WAIT.labels("long").time():
                self._between = held.enter_context(queue.long(self._visitor, kind, self._wait))
            self.place, self._began = None, time.monotonic()
            self._take_cores()
            return do(self)

    def _wait(self, place: Place | None) -> None:
        self.place = place
        if connected(self._session):
            self._seen = time.monotonic()
        if time.monotonic() - self._seen > AWAY or not serving():
            self.stop()
        if self.is_stopped:
            raise Stopped

    def progress(self, share: float) -> None:
        """To be called between two batches, with the finished share; here short works go first.

        Raises:
            Stopped: where nobody waits for the work any more.
        """
        self.share = share
        self._wait(None)
        self._between(share)
        self._take_cores()

    def tell(self, found: Any) -> None:
        """What there is to be shown so far: something new each time."""
        self.told = found

    def stop(self) -> None:
        """End before the next batch."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether it finds nothing any more."""
        return self._stop.is_set()

    @property
    def seconds_left(self) -> float | None:
        """That it is expected to take yet, where that can be said and is worth saying."""
        spent = time.monotonic() - self._began
        if not self._began or self.share < TELLING or spent / self.share < SOON:
            return None
        return spent * (1 - self.share) / self.share

    def is_done(self) -> bool:
        """Whether it has ended, after a moment in which it may."""
        return bool(wait([self._found], PULSE).done)

    def result(self) -> T:
        """What it has found, or what it raised."""
        return self._found.result()
