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
from vitviz.ui.visit import session as ui_session
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
    from vitviz.photos.samples import samples
    from vitviz.ui.visit.session import analyse
    from vitviz.zoo.catalogue import BUNDLED

    analyse(samples()[0].path.read_bytes(), BUNDLED)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("work", ["load_image", "record"])
def test_a_third_waits_while_two_decode_or_run_the_model(
    work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, waiting = threading.Event(), threading.Event()
    real = getattr(ui_session, work)

    def watched(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        return real(*args, **kwargs)

    @contextmanager
    def watched_turn() -> Iterator[None]:
        waiting.set()
        with turn():
            yield

    monkeypatch.setattr(ui_session, work, watched)
    monkeypatch.setattr(ui_session, "turn", watched_turn)
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
