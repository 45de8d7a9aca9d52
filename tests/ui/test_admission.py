"""As many visitors as the server bears; the others read why they wait, and enter in their order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import streamlit as st
from hypothesis import given, strategies
from streamlit.testing.v1 import AppTest
from visits import visit

from vitviz.commands.main import main as command
from vitviz.ui.visit import admission
from vitviz.ui.visit.admission import Admission
from vitviz.ui.visit.shelf import Shelf


class Server:
    """Whose pages are open."""

    def __init__(self, *, most: int) -> None:
        self.open: set[str] = set()
        self.most, self.admission = most, Admission(self.open.__contains__)

    def enter(self, visitors: str) -> str:
        """Who of these, in this order, is in now."""
        self.open |= set(visitors)
        return "".join(v for v in visitors if self.admission.enter(v, self.most))

    def leave(self, visitors: str) -> None:
        self.open -= set(visitors)


class TestAdmission:
    def test_as_many_as_there_is_room_for(self) -> None:
        server = Server(most=2)
        assert server.enter("abc") == "ab"
        assert server.enter("cba") == "ba"

    def test_who_came_first_goes_first(self) -> None:
        server = Server(most=2)
        server.enter("abcde")
        server.leave("a")
        assert server.enter("edc") == "c"  # whoever asks first
        server.leave("bc")
        assert server.enter("ed") == "ed"

    def test_who_left_while_waiting_is_passed_over(self) -> None:
        server = Server(most=1)
        server.enter("abcd")
        server.leave("bc")
        assert server.enter("d") == ""
        server.leave("a")
        assert server.enter("d") == "d"

    def test_only_open_pages_count(self) -> None:
        """Not those that the server merely keeps for a while."""
        server = Server(most=2)
        server.enter("ab")
        server.leave("ab")
        assert server.enter("cd") == "cd"

    def test_who_was_in_stays_in_on_reconnecting_and_counts(self) -> None:
        server = Server(most=1)
        server.enter("ab")
        server.leave("a")
        assert server.enter("b") == "b"
        server.open.add("a")
        server.admission.stay("a")
        server.leave("b")
        assert server.enter("c") == ""
        server.leave("a")
        assert server.enter("c") == "c"

    def test_fewer_are_let_in_when_the_limit_was_lowered(self) -> None:
        server = Server(most=3)
        assert server.enter("abc") == "abc"
        server.most = 1
        server.leave("ab")
        assert server.enter("d") == ""
        assert server.enter("c") == "c"

    @given(strategies.lists(strategies.tuples(strategies.booleans(), strategies.integers(0, 7))))
    def test_any_coming_and_going(self, events: list[tuple[bool, int]]) -> None:
        """Never too many, no room left empty while somebody waits, and in the order of coming."""
        server, line = Server(most=3), ""
        for comes, number in events:
            visitor = "abcdefgh"[number]
            if not comes:
                server.leave(visitor)
                line = line.replace(visitor, "")
            elif visitor not in line:
                line += visitor
                server.enter(visitor)
            # those who were let in stay, so they stand before all who were not
            assert server.enter(line) == line[:3]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server for one visitor; AppTest's is called as it always is."""
    server = Server(most=1)
    monkeypatch.setenv("VITVIZ_MAX_VISITORS", "1")
    monkeypatch.setattr(admission, "ADMISSION", server.admission)
    server.open.add("test session id")
    return server


def app() -> AppTest:
    return AppTest.from_function(main_page, default_timeout=120)


def main_page() -> None:
    from vitviz.ui.app import main

    main()


def no_model(*_: object) -> None:
    raise AssertionError("a model was loaded")


def when_waiting(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> list[float]:
    """What happens in place of waiting; the times that were to be waited."""
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        do()

    monkeypatch.setattr(admission, "sleep", sleep)
    return waited


@pytest.mark.parametrize(
    ("lang", "said"),
    [
        ("en", "Too many visitors are here at the moment. This page looks again by itself every 5 "
         "seconds, and opens when there is room for you."),
        ("zh", "现在访问的人太多了。本页每 5 秒自动重试一次，一有空位就会打开。"),
    ],
)  # fmt: skip
def test_the_next_one_reads_why(
    door: Server, monkeypatch: pytest.MonkeyPatch, lang: str, said: str
) -> None:
    """And nothing is loaded for them."""
    monkeypatch.setattr(Shelf, "take", no_model)
    door.enter("a")
    when_waiting(monkeypatch, st.stop)
    page = app()
    page.query_params["lang"] = lang
    page.run()
    assert not page.exception
    assert [info.value for info in page.info] == [said]


@pytest.mark.usefixtures("light")
def test_room_opens_the_page_by_itself(door: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    door.enter("a")
    waited = when_waiting(monkeypatch, lambda: len(waited) == 3 and door.leave("a"))
    page = app().run()
    assert not page.exception
    assert waited == [admission.AGAIN] * 3
    assert "main" in visit(page).recorded
    assert not any("Too many" in info.value for info in page.info)
    assert door.enter("b") == ""
    page.run()  # one who is in stays in
    assert len(waited) == 3
    assert not page.exception


@pytest.mark.usefixtures("light")
def test_who_reconnects_is_in(door: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = when_waiting(monkeypatch, st.stop)
    page = app().run()
    door.open.discard("test session id")
    assert door.enter("a") == "a"
    door.open.add("test session id")
    page.run()
    assert waited == []
    assert "main" in visit(page).recorded
    door.leave("a")
    assert door.enter("b") == ""


def test_a_wrong_number_is_said_when_the_server_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITVIZ_MAX_VISITORS", "many")
    assert command(["app"]) == 2
    assert "VITVIZ_MAX_VISITORS is “many”" in capsys.readouterr().err
