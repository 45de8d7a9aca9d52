"""Redraws one after the other, unless one takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from vitviz.ui.visit import redraws
from vitviz.ui.visit.redraws import in_turn

LONG = 60.0  # s, in which a test is over


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(8)


def has_come(first: object) -> Callable[[], bool]:
    """Whether another redraw has come since this one was the last."""
    return lambda: redraws._last is not first


def wait_until(true: Callable[[], bool]) -> None:
    while not true():
        threading.Event().wait(0.001)


def test_who_came_first_is_done_first(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redraws, "ALONE", LONG)
    may_end, seen = Event(), []

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
        wait_until(has_come(last))
    wait_until(lambda: bool(seen))
    assert seen == ["0 begins"]
    may_end.set()
    assert [run.result(LONG) for run in running] == list(range(5))
    assert seen == [f"{number} {what}" for number in range(5) for what in ("begins", "ends")]


def test_one_that_takes_long_is_waited_for_once(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redraws, "ALONE", 0.01)
    may_end, begun = Event(), Event()

    @in_turn
    def long() -> None:
        begun.set()
        may_end.wait(LONG)

    slow = pool.submit(long)
    begun.wait(LONG)
    others = [pool.submit(in_turn(str), number) for number in range(3)]
    assert [other.result(LONG) for other in others] == ["0", "1", "2"]
    assert not slow.done()
    may_end.set()
    slow.result(LONG)


def test_one_that_fails_lets_the_next_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redraws, "ALONE", LONG)
    with pytest.raises(ZeroDivisionError):
        in_turn(lambda: 1 / 0)()
    assert in_turn(str)(1) == "1"
