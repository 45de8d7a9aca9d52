"""Turns at the model, for whoever looks at a page, and the words for waiting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from vitviz.ui.visit.admission import ADMISSION
from vitviz.ui.visit.language import t
from vitviz.ui.visit.metrics import WAIT, WORK
from vitviz.ui.visit.queue import Place, Queue
from vitviz.ui.visit.redraws import let_others
from vitviz.ui.visit.streamlit_private import still_here

__all__ = ["QUEUE", "how_long", "one_core", "own_cores", "turn", "waiting"]

QUEUE = Queue()
SECONDS = 90  # from here on, minutes are said
CORES = torch.get_num_threads()  # that torch found, or OMP_NUM_THREADS leaves it


def one_core() -> None:
    """Let this thread compute on one core only, in a turn or out of it. Two that share a small
    matrix wait for each other, on a busy machine for longer than either computes."""
    torch.set_num_threads(1)


def own_cores() -> None:
    """Let this thread compute on as many cores as there are for each visitor."""
    torch.set_num_threads(max(1, CORES // max(1, ADMISSION.visitors)))


@contextmanager
def turn() -> Iterator[None]:
    """Held by whoever runs the model for a moment; long work lets it go first."""
    let_others()
    with ExitStack() as held:
        with WAIT.labels("short").time():
            held.enter_context(QUEUE.short(still_here))
        own_cores()
        try:
            with WORK.labels("look").time():
                yield
        finally:
            one_core()


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
