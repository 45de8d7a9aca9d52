"""Redraws one after the other.

Python computes for one visitor at a time. Five redraws that share it are all done when the last one
is; in turn, the first is done after a fifth of that time, and the last one no later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from threading import Event
from typing import ParamSpec, TypeVar

from vitviz.ui.visit.streamlit_private import still_here

__all__ = ["in_turn", "let_others"]

P = ParamSpec("P")
R = TypeVar("R")
ALONE = 0.06  # s that a redraw has for itself; one that needs longer shares


@dataclass
class _Redraw:
    """One that runs or waits to; `started_at` counts once `started` is set."""

    started: Event = field(default_factory=Event)
    done: Event = field(default_factory=Event)
    started_at: float = 0.0

    def wait(self) -> None:
        """Until it is done, or has had its time."""
        self.started.wait()  # not for ever: it waits for the one before it in the same way
        self.done.wait(max(0.0, self.started_at + ALONE - time.monotonic()))

    def end(self) -> None:
        """Who comes next waits no longer, also where this one never started."""
        self.started.set()
        self.done.set()


_lock = threading.Lock()
_last = _Redraw()
_last.end()
_running: ContextVar[_Redraw | None] = ContextVar("_running", default=None)


def in_turn(redraw: Callable[P, R]) -> Callable[P, R]:
    """The function, which now waits for the last call of any such function: who came first is done
    first, unless that takes longer than `ALONE` seconds.

    Raises:
        StopException: as `still_here`, if the visitor has clicked again or left in the meantime.
    """

    @wraps(redraw)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        global _last
        own = _Redraw()
        with _lock:
            before, _last = _last, own
        token = _running.set(own)
        try:
            before.wait()
            still_here()
            own.started_at = time.monotonic()
            own.started.set()
            return redraw(*args, **kwargs)
        finally:
            own.end()
            _running.reset(token)

    return call


def let_others() -> None:
    """Before a redraw waits for something else, which is no time of its own."""
    if running := _running.get():
        running.end()
