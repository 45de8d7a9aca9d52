"""Turns at the model, for whoever looks at a page, and the words for waiting."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

from vitviz.ui.visit.language import t
from vitviz.ui.visit.queue import Place, Queue
from vitviz.ui.visit.streamlit_private import still_here

__all__ = ["QUEUE", "how_long", "turn", "waiting"]

QUEUE = Queue()
SECONDS = 90  # from here on, minutes are said


def turn() -> AbstractContextManager[None]:
    """Held by whoever runs the model for a moment; long work lets it go first."""
    return QUEUE.short(still_here)


def waiting(place: Place) -> str:
    """What is before the visitor's work, and how long that takes where it is known."""
    if place.seconds is None:
        return t("queue.ahead", count=place.ahead)
    return t("queue.until", count=place.ahead, time=how_long(place.seconds))


def how_long(seconds: float) -> str:
    """A time that is not known exactly."""
    if seconds <= SECONDS:
        return t("queue.seconds", seconds=5 * max(1, math.ceil(seconds / 5)))
    return t("queue.minutes", minutes=math.ceil(seconds / 60))
