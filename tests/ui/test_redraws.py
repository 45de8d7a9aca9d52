"""Redraws one after the other, unless one takes long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from pages import page

from vitviz.ui.visit import redraws
from vitviz.ui.visit.redraws import in_turn, let_others
from vitviz.ui.visit.turns import turn

LONG = 60.0  # s, in which a test is over
pytestmark = pytest.mark.usefixtures("patience")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for one that is not done fails."""
    monkeypatch.setattr(redraws, "ALONE", 2 * LONG)


@pytest.fixture
def may_end() -> Iterator[Event]:
    event = Event()
    yield event
    event.set()


@pytest.fixture
def pool(may_end: Event) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool
        may_end.set()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def test_who_came_first_is_done_first(pool: ThreadPoolExecutor, may_end: Event) -> None:
    seen = []

    @in_turn
    def redraw(number: int) -> int:
        seen.append(f"{number} begins")
        if number == 0:
            may_end.wait(LONG)
        seen.append(f"{number} ends")
        return number

    running = []
    for number in range(5):
        last = redraws._last
        running.append(pool.submit(redraw, number))
        wait_until(lambda last=last: redraws._last is not last)  # type: ignore[misc]
    wait_until(lambda: bool(seen))
    assert seen == ["0 begins"]
    may_end.set()
    assert [run.result(LONG) for run in running] == list(range(5))
    assert seen == [f"{number} {what}" for number in range(5) for what in ("begins", "ends")]


def test_one_that_takes_long_is_waited_for_once(
    pool: ThreadPoolExecutor, may_end: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redraws, "ALONE", 0.2)
    begun = Event()

    @in_turn
    def long() -> None:
        begun.set()
        may_end.wait(LONG)

    slow = pool.submit(long)
    assert begun.wait(LONG)
    began = redraws._last.started_at
    first, *more = [pool.submit(in_turn(time.monotonic)) for _ in range(3)]
    assert first.result(LONG) - began >= 0.2
    assert [other.result(LONG) for other in more]
    assert not slow.done()


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_one_that_fails_lets_the_next_begin(
    pool: ThreadPoolExecutor, error: type[BaseException]
) -> None:
    @in_turn
    def failing() -> None:
        raise error

    with pytest.raises(error):
        failing()
    assert pool.submit(in_turn(str), 1).result(LONG) == "1"


def test_one_that_is_given_up_while_it_waits_lets_the_next_begin(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clicked() -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(redraws, "still_here", clicked)
        with pytest.raises(SystemExit):
            in_turn(str)(0)
    assert pool.submit(in_turn(str), 1).result(LONG) == "1"


@pytest.mark.parametrize("waits", [let_others, lambda: turn().__enter__()])
def test_one_that_waits_for_something_else_lets_the_next_begin(
    pool: ThreadPoolExecutor, may_end: Event, waits: Callable[[], object]
) -> None:
    begun = Event()

    @in_turn
    def waiting() -> None:
        held = waits()
        begun.set()
        may_end.wait(LONG)
        del held

    slow = pool.submit(waiting)
    assert begun.wait(LONG)
    assert pool.submit(in_turn(str), 1).result(LONG) == "1"
    assert not slow.done()


@pytest.mark.usefixtures("light")
def test_what_the_controls_of_explore_change_is_redrawn_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[object] = []
    monkeypatch.setattr(redraws._Redraw, "wait", lambda redraw: waited.append(redraw))
    assert not page("explore", sample="cat").exception
    assert len(waited) == 1
