"""Turns at the model, for whoever looks at a page: short work first, long work with a bar."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
import torch

from vitviz.errors import VitvizError
from vitviz.progress import Progress
from vitviz.ui.visit.admission import ADMISSION
from vitviz.ui.visit.language import t
from vitviz.ui.visit.queue import Place, Queue
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import browser, still_here

__all__ = ["QUEUE", "many_turns", "one_core", "turn"]

QUEUE = Queue()
SECONDS = 90  # from here on, minutes are said


def one_core() -> None:
    """Let this thread compute on one core only, in a turn or out of it. Two that share a small
    matrix wait for each other, on a busy machine for longer than either computes."""
    torch.set_num_threads(1)


def _own_cores() -> None:
    """Let this thread compute on as many cores as there are for each visitor."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // max(1, ADMISSION.visitors)))


@contextmanager
def turn() -> Iterator[None]:
    """Held by whoever runs the model for a moment; long work lets it go first."""
    with QUEUE.short(still_here):
        _own_cores()
        try:
            yield
        finally:
            one_core()


@contextmanager
def many_turns(text: str) -> Iterator[Progress]:
    """A place for many forward passes: what shows how far they are, and between two of them lets
    short work go first. Until they begin, the bar says what is before them.

    It ends where the visitor leaves or clicks elsewhere, also while it waits.
    """
    bar = st.progress(0.0, text)

    def tell(place: Place | None) -> None:
        if place:
            bar.progress(0.0, waiting(place))
        still_here()

    try:
        with QUEUE.long(browser(), (text, visit().model), tell) as between:
            bar.progress(0.0, text)
            _own_cores()

            def progress(share: float) -> None:
                bar.progress(share, text)
                between(share)
                _own_cores()  # others may have come

            yield progress
    except VitvizError:
        bar.empty()
        raise
    finally:
        one_core()
    bar.empty()


def waiting(place: Place) -> str:
    """What is before the visitor's work, and how long that takes where it is known."""
    if place.seconds is None:
        return t("queue.ahead", count=place.ahead)
    if place.seconds <= SECONDS:
        seconds = 5 * max(1, math.ceil(place.seconds / 5))
        return t("queue.seconds", count=place.ahead, seconds=seconds)
    return t("queue.minutes", count=place.ahead, minutes=math.ceil(place.seconds / 60))
