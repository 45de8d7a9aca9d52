"""Whoever runs the model many times lets others in between."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from vitviz.ui.visit.turns import FORWARDS_AT_ONCE, turn


def run_page() -> None:
    import threading

    from vitviz.ui.visit.turns import FORWARDS_AT_ONCE, many_turns, turn

    served = threading.Event()

    def visitor() -> None:
        with turn():
            served.set()

    with many_turns("working") as progress:
        for _ in range(FORWARDS_AT_ONCE - 1):  # nothing else is free
            turn().acquire()
        waiting = threading.Thread(target=visitor)
        waiting.start()
        assert not served.is_set()
        while not served.is_set():
            progress(0.5)
        waiting.join()
        for _ in range(FORWARDS_AT_ONCE - 1):
            turn().release()


def test_others_are_served_between_two_forward_passes() -> None:
    app = AppTest.from_function(run_page, default_timeout=120).run()
    assert not app.exception
    held = [turn().acquire(blocking=False) for _ in range(FORWARDS_AT_ONCE + 1)]
    assert held == [True] * FORWARDS_AT_ONCE + [False]
    for _ in range(FORWARDS_AT_ONCE):
        turn().release()
