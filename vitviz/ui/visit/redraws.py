"""Redraws one after the other.

Python computes for one visitor at a time. Five redraws that share it are all done when the last one
is; in turn, the first is done after a fifth of that time, and the last one no later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from threading import Event
from typing import ParamSpec, TypeVar

__all__ = ["in_turn"]

P = ParamSpec("P")
R = TypeVar("R")
ALONE = 0.06  # s that a redraw has for itself; one that needs longer, or waits, shares


@dataclass
class _Redraw:
    """One that runs or waits to; `began` counts once `begun` is set."""

    begun: Event = field(default_factory=Event)
    done: Event = field(default_factory=Event)
    began: float = 0.0

    def wait(self) -> None:
        """Until it is done, or has had its time."""
        self.begun.wait()  # not for ever: it waits for the one before it in the same way
        self.done.wait(max(0.0, self.began + ALONE - time.monotonic()))


_lock = threading.Lock()
_last = _Redraw()
_last.begun.set()
_last.done.set()


def in_turn(redraw: Callable[P, R]) -> Callable[P, R]:
    """The function, of which no two begin at the same time: who came first is done first, unless
    that takes longer than `ALONE` seconds."""

    @wraps(redraw)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        global _last
        own = _Redraw()
        with _lock:
            before, _last = _last, own
        before.wait()
        own.began = time.monotonic()
        own.begun.set()
        try:
            return redraw(*args, **kwargs)
        finally:
            own.done.set()

    return call
