"""A server that is asked to end lets its visitors finish."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from vitviz.ui.entry import ending
from vitviz.ui.entry.answering import Server
from vitviz.ui.entry.ending import NOTICED, end_after_visits


class Clock:
    """Time that passes while one sleeps, and a visitor who leaves at some moment."""

    def __init__(self, leaves: float) -> None:
        self.now, self.leaves = 0.0, leaves

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def present(self) -> tuple[int, int]:
        return (1 if self.now < self.leaves else 0, 0)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("leaves", "ends"), [(0.0, NOTICED), (40.0, 40.0), (1000.0, 60.0)], ids=["none", "one", "stays"]
)
def test_it_waits_for_visitors_but_not_for_ever(
    leaves: float, ends: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, sent = Clock(leaves), []
    monkeypatch.setattr(ending, "time", clock)
    monkeypatch.setattr(ending, "ADMISSION", clock)
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    ending._wait(60)
    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert clock.now == pytest.approx(ends, abs=ending.PULSE)


def test_the_first_signal_drains_and_the_second_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    waited: list[int] = []
    monkeypatch.setattr(ending, "_wait", waited.append)
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    server = Server()
    end_after_visits(server, 600)
    signal.raise_signal(signal.SIGTERM)
    assert server.state == (404, "draining")
    assert not heard
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    assert waited == [600]


def test_without_a_setting_it_ends_at_once() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    end_after_visits(Server(), 0)
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]
