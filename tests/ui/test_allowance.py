"""What one visitor may have opened: one file at a time, so much in a while, and a growing pause."""

from __future__ import annotations

import threading

import pytest

from vitviz.errors import ImageError
from vitviz.photos.load import MAX_BYTES, too_costly
from vitviz.ui.visit.allowance import FIRST_PAUSE, MOST_BYTES, MOST_FILES, WHILE, Allowance


class Clock:
    """Its time is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def allowance(clock: Clock) -> Allowance:
    return Allowance(clock)


def open_file(allowance: Allowance, visitor: str = "one", size: int = 1) -> None:
    with allowance.opening(visitor, size):
        pass


def costly(allowance: Allowance, visitor: str = "one") -> None:
    with pytest.raises(ImageError) as met, allowance.opening(visitor, 1):
        raise too_costly()
    assert met.value.id == "image_too_costly"


def pause(allowance: Allowance, visitor: str = "one") -> int:
    """Seconds that the visitor is told to wait."""
    with pytest.raises(ImageError) as met:
        open_file(allowance, visitor)
    assert met.value.id == "pause_after_costly"
    seconds = met.value.values["seconds"]
    assert isinstance(seconds, int)
    return seconds


def test_the_pause_after_a_costly_file_doubles_and_ends(allowance: Allowance, clock: Clock) -> None:
    costly(allowance)  # the first one may be a mistake
    for expected in (20, 40, 80):
        costly(allowance)
        assert pause(allowance) == expected
        clock.now += expected - 0.5
        assert pause(allowance) == 1
        clock.now += 0.5
    open_file(allowance)


def test_the_files_of_others_open_meanwhile(allowance: Allowance) -> None:
    costly(allowance)
    costly(allowance)
    open_file(allowance, "two")


def test_a_costly_file_is_forgotten_after_a_while(allowance: Allowance, clock: Clock) -> None:
    costly(allowance)
    clock.now += WHILE + 1
    costly(allowance)
    open_file(allowance)
    costly(allowance)
    assert pause(allowance) == FIRST_PAUSE


def test_any_other_error_has_no_pause(allowance: Allowance) -> None:
    with pytest.raises(ImageError), allowance.opening("one", 1):
        raise ImageError("broken_image", "The image is broken.")
    open_file(allowance)


def test_so_many_files_in_a_while(allowance: Allowance, clock: Clock) -> None:
    for _ in range(MOST_FILES):
        open_file(allowance)
    with pytest.raises(ImageError) as met:
        open_file(allowance)
    assert met.value.id == "too_much_brought"
    clock.now += WHILE + 1
    open_file(allowance)


def test_so_many_bytes_in_a_while(allowance: Allowance) -> None:
    for _ in range(MOST_BYTES // MAX_BYTES):
        open_file(allowance, size=MAX_BYTES)
    with pytest.raises(ImageError) as met:
        open_file(allowance, size=MAX_BYTES)
    assert met.value.id == "too_much_brought"
    open_file(allowance, "two", size=MAX_BYTES)


def test_one_file_of_a_visitor_at_a_time(allowance: Allowance) -> None:
    opened = threading.Event()

    def second() -> None:
        open_file(allowance)
        opened.set()

    with allowance.opening("one", 1):
        thread = threading.Thread(target=second)
        thread.start()
        open_file(allowance, "two")  # while the second of the first visitor's waits
        assert not opened.wait(0.2)
    assert opened.wait(10)
    thread.join()


def test_visitors_who_brought_nothing_for_a_while_are_forgotten(
    allowance: Allowance, clock: Clock
) -> None:
    for number in range(50):
        open_file(allowance, str(number))
    clock.now += WHILE + 1
    open_file(allowance)
    assert list(allowance._accounts) == ["one"]


def test_who_has_a_file_opened_for_long_is_not_forgotten(
    allowance: Allowance, clock: Clock
) -> None:
    """Or a second file of the same visitor would be opened beside it."""
    with allowance.opening("one", 1):
        clock.now += WHILE + 1
        open_file(allowance, "two")
        assert "one" in allowance._accounts
