"""Long works: they go on while their page is left, and what they found is there on return."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import streamlit as st

from vitviz.errors import VitvizError
from vitviz.ui.visit import turns
from vitviz.ui.visit.language import t
from vitviz.ui.visit.metrics import WORK
from vitviz.ui.visit.redraws import let_others
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import still_here
from vitviz.ui.visit.work import Work

__all__ = ["begin", "carried_out", "give_up", "on_request", "underway", "watch"]

T = TypeVar("T")


def begin(name: str, asked: Hashable, do: Callable[[Work[T]], T]) -> None:
    """Begin a work of the visitor, in place of the one with this name."""

    def measured(work: Work[T]) -> T:
        with WORK.labels(name.split()[0]).time():  # what follows may be a class
            return do(work)

    give_up(name)
    kind = name, visit().model
    visit().works[name] = Work(turns.QUEUE, asked, measured, kind, turns.own_cores)


def give_up(name: str) -> None:
    """End the work with this name, if there is one."""
    if work := visit().works.pop(name, None):
        work.stop()


def underway(name: str, asked: Hashable = None) -> bool:
    """Whether there is a work, or its result, that was not looked at to its end."""
    work = visit().works.get(name)
    return work is not None and work.asked == asked and not work.is_stopped


def watch(name: str, text: str, show: Callable[[Any], object] = lambda _: None) -> Any:
    """What a work has found, as soon as it has: until then, how far it is.

    It ends when the visitor leaves or clicks elsewhere; the work does not.

    Args:
        name: of a work that is under way.
        text: what is being done.
        show: draws what the work has told, again and again.

    Raises:
        VitvizError: what the work has raised.
    """
    work, bar, shown = visit().works[name], st.progress(0.0, text), None
    ended = False
    let_others()
    while not ended:
        ended = work.is_done()
        if (told := work.told) is not shown:
            show(shown := told)
        bar.progress(min(work.share, 1.0), _words(work, text))
        still_here()
    if visit().works.get(name) is work:
        del visit().works[name]
    try:
        found = work.result()
    except VitvizError:
        bar.empty()
        raise
    bar.empty()
    return found


def carried_out(
    name: str,
    asked: Hashable,
    text: str,
    do: Callable[[Work[T]], T],
    show: Callable[[Any], object] = lambda _: None,
) -> T:
    """What a work finds that begins by itself: another question of the same name ends it."""
    if not underway(name, asked):
        begin(name, asked, do)
    found: T = watch(name, text, show)
    return found


def on_request(
    name: str,
    asked: Hashable,
    button: str,
    icon: str,
    text: str,
    do: Callable[[Work[T]], T],
) -> T | None:
    """What a work finds that a button begins; None before that."""
    if not underway(name, asked):
        if not st.button(button, icon=icon, type="primary"):
            return None
        begin(name, asked, do)
    found: T = watch(name, text)
    return found


def _words(work: Work[Any], text: str) -> str:
    """What is before the work, or what is done and how long it takes yet."""
    if work.place:
        return turns.waiting(work.place)
    left = work.seconds_left
    return text if left is None else t("queue.left", text=text, time=turns.how_long(left))
