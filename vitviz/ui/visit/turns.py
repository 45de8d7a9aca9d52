"""Turns at the processor: few forward passes at a time, whoever waits goes first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from vitviz.errors import VitvizError
from vitviz.progress import Progress

FORWARDS_AT_ONCE = 2


@st.cache_resource
def turn() -> threading.BoundedSemaphore:
    """Held by whoever decodes a photo or runs the model; the others wait."""
    return threading.BoundedSemaphore(FORWARDS_AT_ONCE)


@contextmanager
def many_turns(text: str) -> Iterator[Progress]:
    """A turn for many forward passes: what shows how far they are, and between two of them lets
    those who wait go first."""
    bar, held = st.progress(0.0, text), turn()

    def progress(share: float) -> None:
        bar.progress(share, text)
        held.release()
        time.sleep(0.001)  # else this thread is back before the one that waits has woken up
        held.acquire()

    try:
        with held:
            yield progress
    except VitvizError:
        bar.empty()
        raise
    bar.empty()
