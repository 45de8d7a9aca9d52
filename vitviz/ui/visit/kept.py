"""A recording that is let go while its visitor is reading, and comes back when it is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from weakref import WeakSet

from vitviz.recording.record import with_layers, without_layers
from vitviz.recording.recording import Recording

__all__ = ["IDLE", "Kept", "let_go_of_idle"]

IDLE = 30.0  # s without a question, after which a recording's layers are let go

_resting: WeakSet[Kept] = WeakSet()
_adding = threading.Lock()


class Kept:
    """A visitor's recording: some 15 MB while it is in use, and one afterwards.

    What was derived from it stays. Works that are under way hold it themselves.
    """

    def __init__(
        self, rec: Recording, *, rests: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            rec: as it was made.
            rests: whether it is let go while nobody asks; where its layers are others' too, that
                would save nothing.
            clock: gives seconds.
        """
        self._rec, self._clock, self._asked = rec, clock, clock()
        self._is_whole, self._changing = True, threading.Lock()
        if rests:
            with _adding:
                _resting.add(self)

    @property
    def is_whole(self) -> bool:
        """Whether it is there without a forward pass."""
        return self._is_whole

    def get(self) -> Recording:
        """The recording; a forward pass if it was let go."""
        with self._changing:
            self._asked = self._clock()
            if not self._is_whole:
                self._rec, self._is_whole = with_layers(self._rec), True
            return self._rec

    def let_go(self) -> None:
        """Of its layers, if nobody has asked for them for a while."""
        with self._changing:
            if self._is_whole and self._clock() - self._asked > IDLE:
                self._rec, self._is_whole = without_layers(self._rec), False


def let_go_of_idle() -> None:
    """Of the layers of all recordings that nobody has asked for."""
    with _adding:
        every = list(_resting)
    for kept in every:
        kept.let_go()
