"""Who may come in when many visitors are here: as many as the server bears, the others in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import sleep
from typing import NoReturn

import streamlit as st

from vitviz.ui.visit.language import t
from vitviz.ui.visit.metrics import REFUSED
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import connected, session_id, still_here
from vitviz.zoo.settings import max_visitors

__all__ = ["Admission", "admit"]

AGAIN = 5  # seconds until a waiting page looks again


class Admission:
    """Who is in and who waits, by their sessions. Shared by all threads of a server.

    Example:
        >>> admission = Admission(lambda visitor: True)
        >>> admission.enter("first", most=1), admission.enter("second", most=1)
        (True, False)
    """

    def __init__(self, connected: Callable[[str], bool]) -> None:
        """`connected` says whether a visitor's page is open: who has left takes no room."""
        self._connected = connected
        self._inside: set[str] = set()
        self._waiting: list[str] = []  # who came first is first
        self._lock = threading.Lock()

    def enter(self, visitor: str, most: int) -> bool:
        """Whether the visitor is in now: with room for `most` visitors, who came first goes first.
        Who is not waits, and asks again."""
        with self._lock:
            self._inside = {other for other in self._inside if self._connected(other)}
            if visitor in self._inside:
                return True
            if visitor not in self._waiting:
                self._waiting.append(visitor)
            self._waiting = [v for v in self._waiting if v == visitor or self._connected(v)]
            if self._waiting.index(visitor) >= most - len(self._inside):
                return False
            self._waiting.remove(visitor)
            self._inside.add(visitor)
            return True

    def present(self) -> tuple[int, int]:
        """How many are in, and how many wait, whose pages are open now."""
        with self._lock:
            return (
                sum(map(self._connected, self._inside)),
                sum(map(self._connected, self._waiting)),
            )

    @property
    def visitors(self) -> int:
        """How many are in; who has just left may still count."""
        return len(self._inside)

    def stay(self, visitor: str) -> None:
        """For one who was in before: is in, however many there are; counts again after a
        reconnection."""
        with self._lock:
            self._inside.add(visitor)


ADMISSION = Admission(connected)


def admit() -> None:
    """Returns if there is room for this visitor; nothing is loaded before."""
    visitor = session_id()
    if visit().admitted:
        ADMISSION.stay(visitor)
    elif ADMISSION.enter(visitor, max_visitors()):
        visit().admitted = True
    else:
        REFUSED.labels("server_full").inc()
        wait_outside(visitor)


def wait_outside(visitor: str) -> NoReturn:
    """Say why the page is empty, until it can be made."""
    place = st.empty()
    while True:
        place.info(t("queue.full", seconds=AGAIN), icon=":material/hourglass:")
        sleep(AGAIN)
        still_here()
        if ADMISSION.enter(visitor, max_visitors()):
            visit().admitted = True
            st.rerun()  # without the sentence
