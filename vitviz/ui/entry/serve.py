"""Serves the app: Streamlit, and beside it what the first visitors would wait for, what its owner
asks, and an end that visitors need not notice.

Streamlit runs nothing of an app before somebody comes. Run as a program, by `vitviz app`.
"""

from __future__ import annotations

import runpy
import signal
import threading
import time

import streamlit as st

from vitviz.ui.entry.answering import Server, serve_owner
from vitviz.ui.entry.ending import end_after_visits
from vitviz.ui.entry.log import log, set_up_log, set_up_log_of_server
from vitviz.ui.visit.streamlit_private import in_its_thread, remake_pages_of_others
from vitviz.zoo.settings import drain_seconds, metrics_port


def serve() -> None:
    """Until it is asked to end; the arguments of this process are Streamlit's.

    The process waits for what warms it up: to end a thread in the middle of torch would abort it.
    """
    server, seconds = Server(), drain_seconds()
    set_up_log()
    remake_pages_of_others()
    if port := metrics_port():
        serve_owner(server, port)
    starting = threading.Thread(target=_once_it_runs, args=(server, seconds), name="warm-up")
    starting.start()
    try:
        runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
    finally:  # it ends by SystemExit
        log.info("ended")


def _once_it_runs(server: Server, seconds: int) -> None:
    while not _runs():
        if not threading.main_thread().is_alive():  # there will be no server
            return
        time.sleep(0.05)
    set_up_log_of_server()
    in_its_thread(end_after_visits, server, seconds)  # only a process's first may hear of signals
    from vitviz.ui.app import warm_up  # before, what is imported would not find its server

    warm_up(server.answered)


def _runs() -> bool:
    """Whether Streamlit hears of signals, the last thing that it does before it serves."""
    return st.runtime.exists() and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL


if __name__ == "__main__":
    serve()
