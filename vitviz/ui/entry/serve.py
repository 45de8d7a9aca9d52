"""Serves the app: Streamlit, and beside it what the first visitors would wait for.

Streamlit runs nothing of an app before somebody comes. Run as a program, by `vitviz app`.
"""

from __future__ import annotations

import runpy
import threading
import time

import streamlit as st


def serve() -> None:
    """Until Ctrl-C; the arguments of this process are Streamlit's.

    The process waits for what warms it up: to end a thread in the middle of torch would abort it.
    """
    threading.Thread(target=_warm_up_once_it_runs, name="warm-up").start()
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


def _warm_up_once_it_runs() -> None:
    while not st.runtime.exists():  # before, what is imported would not find its server
        if not threading.main_thread().is_alive():  # there will be none
            return
        time.sleep(0.05)
    from vitviz.ui.app import warm_up

    warm_up()


if __name__ == "__main__":
    serve()
