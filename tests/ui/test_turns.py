"""Few run the model at once, and whoever runs it many times lets others in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from visits import recording

import vitviz
from vitviz.ui.visit import analyse as analysing
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
    assert FORWARDS_AT_ONCE == 2
    held = [turn().acquire(blocking=False) for _ in range(3)]
    assert held == [True, True, False]
    for _ in range(2):
        turn().release()


def open_photo() -> None:
    from vitviz.ui.controls.photo_picker import sample_photos
    from vitviz.ui.visit.analyse import analyse
    from vitviz.zoo.catalogue import BUNDLED

    analyse(sample_photos()["cat"][1], BUNDLED)


def open_a_strangers() -> None:
    import streamlit as st

    import vitviz
    from vitviz.ui.controls.photo_picker import open_photo
    from vitviz.ui.visit.opening import opened
    from vitviz.ui.visit.turns import turn

    with turn(), turn():
        photo = open_photo(vitviz.samples()[0].path.read_bytes(), "cat.jpg")
        st.text(opened(photo).size)


@pytest.mark.usefixtures("light")
def test_a_third_waits_while_two_run_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, waiting = threading.Event(), threading.Event()

    def watched(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        return vitviz.record(*args, **kwargs)

    @contextmanager
    def watched_turn() -> Iterator[None]:
        waiting.set()
        with turn():
            yield

    monkeypatch.setattr(analysing, "record", watched)
    monkeypatch.setattr(analysing, "turn", watched_turn)
    app = AppTest.from_function(open_photo, default_timeout=120)
    third = threading.Thread(target=app.run)
    with turn(), turn():
        third.start()
        while not (waiting.is_set() or begun.is_set()):
            pass
        assert not begun.is_set()
    third.join()
    assert begun.is_set()
    assert isinstance(recording(app), vitviz.Recording)


def test_a_strangers_photo_is_opened_while_two_run_the_model() -> None:
    """Or a file that takes long would hold a turn."""
    app = AppTest.from_function(open_a_strangers, default_timeout=120).run()
    assert not app.exception
    assert app.text[0].value == "(451, 300)"
