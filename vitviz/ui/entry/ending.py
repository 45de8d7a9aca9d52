"""How a server ends when it is asked to: first it takes no more visitors, then it waits for those
who are there."""

from __future__ import annotations

import os
import signal
import threading
import time

from vitviz.ui.entry.answering import Server
from vitviz.ui.entry.log import log
from vitviz.ui.visit.admission import ADMISSION

__all__ = ["NOTICED", "end_after_visits"]

NOTICED = 5.0  # s in which a proxy learns of it, and may send visitors yet
PULSE = 0.5  # s between two looks who is there


def end_after_visits(server: Server, seconds: int) -> None:
    """From now on, end on SIGTERM when nobody has a page open any more, but after so many seconds
    at the latest; a second one, or Ctrl-C, ends it at once. Only for the process's first thread."""
    if not seconds:
        return
    end_at_once = signal.getsignal(signal.SIGTERM)

    def begin(*_: object) -> None:
        signal.signal(signal.SIGTERM, end_at_once)
        server.drain()
        threading.Thread(target=_wait, args=(seconds,), name="ending", daemon=True).start()

    signal.signal(signal.SIGTERM, begin)


def _wait(seconds: int) -> None:
    inside, waiting = ADMISSION.present()
    log.info("draining", extra={"told": {"seconds": seconds, "visitors": inside + waiting}})
    start = time.monotonic()
    while (spent := time.monotonic() - start) < seconds and (
        spent < NOTICED or any(ADMISSION.present())
    ):
        time.sleep(PULSE)
    os.kill(os.getpid(), signal.SIGTERM)
