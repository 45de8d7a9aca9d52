"""The server's memory: what stays for good, what is searched for garbage, and what goes back."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
import threading

from vitviz.ui.visit.kept import let_go_of_idle
from vitviz.ui.visit.live_class import forget_old_classes
from vitviz.ui.visit.streamlit_private import drop_expired_sessions

__all__ = ["EVERY_SECONDS", "give_back", "give_back_again_and_again", "leave_out_imports"]

EVERY_SECONDS = 20


def leave_out_imports() -> None:
    """Leave what lives by now, which is what was imported, out of the garbage collector's searches.

    So they are quick, and frequent enough for visitors' recordings not to pile up. For the start
    of a server only: whatever lives by now is never collected.
    """
    gc.collect()  # or garbage would stay too
    gc.freeze()


def give_back_again_and_again() -> None:
    """Start a thread that gives memory back for as long as the server runs: Streamlit drops the
    sessions of visitors who left only when somebody comes."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(EVERY_SECONDS):
            drop_expired_sessions()
            let_go_of_idle()
            forget_old_classes()
            give_back()

    thread = threading.Thread(target=work, name="memory", daemon=True)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()  # a thread that is ended while torch frees memory would abort the process

    atexit.register(end)


def give_back() -> None:
    """Collect garbage, and return to the system what glibc's heaps hold and nobody uses; elsewhere
    that is left to the allocator."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
