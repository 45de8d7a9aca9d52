"""The final exam: nothing is said before it is handed in; then everything."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from random import randrange
from typing import Any

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from vitviz.ui.course.exam import COUNT, EXAM, printed_exam, questions
from vitviz.ui.parts.screen import fit_screen
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import language, language_switch, t
from vitviz.ui.visit.order import NUMBERS
from vitviz.ui.visit.state import ExamSheet, visit

DIGITS = 4  # of an exam's number


def page(lessons: Mapping[str, StreamlitPage]) -> None:
    """The exam whose number is in the address.

    Args:
        lessons: by their ids.
    """
    language_switch()
    sheet = _sheet()
    with st.container(key="exam"):
        st.title(t(f"{EXAM}.title"), anchor=False)
        st.markdown(t(f"{EXAM}.intro", count=COUNT, draw=sheet.draw))
        with st.container(horizontal=True):
            st.button(
                t(f"{EXAM}.again"),
                icon=":material/shuffle:",
                key=keys.DRAW_AGAIN,
                on_click=_draw_again,
            )
            print_menu(sheet.draw)
        _questions(sheet, lessons)


def print_menu(draw: int) -> None:
    """The exam to take away, without and with its key."""
    with st.popover(t(f"{EXAM}.print"), icon=":material/print:", key=keys.PRINT_EXAM):
        for kind in ("blank", "key"):
            st.download_button(
                t(f"{EXAM}.with_{kind}"),
                partial(printed_exam, draw, key=kind == "key", tongue=language()),
                f"vitviz-exam-{draw}-{kind}.html",
                "text/html",
                on_click="ignore",
                key=keys.EXAM_FILE.format(kind),
            )


def _sheet() -> ExamSheet:
    """The answers to the exam in the address; without one it is the last, or a new one."""
    state, named = visit(), st.query_params.get(keys.DRAW, "")
    number = int(named) if named.isdecimal() and len(named) <= DIGITS else None
    if number is None and state.exam is None:
        number = randrange(10**DIGITS)
    if state.exam is None or number not in (None, state.exam.draw):
        state.exam = ExamSheet(number or 0)
    if named != str(state.exam.draw):
        st.query_params[keys.DRAW] = str(state.exam.draw)
    return state.exam


def _draw_again() -> None:
    st.query_params[keys.DRAW] = str(randrange(10**DIGITS))


@st.fragment  # an answer redraws nothing else
def _questions(sheet: ExamSheet, lessons: Mapping[str, StreamlitPage]) -> None:
    """To be answered, or with what is right about the answers."""
    asked = questions(sheet.draw)
    if sheet.handed_in:
        right = sum(sheet.answers.get(number) == each["right"] for number, each in asked.items())
        st.subheader(t(f"{EXAM}.score", right=right, count=len(asked)), anchor=False)
    for place, (number, each) in enumerate(asked.items(), start=1):
        if sheet.handed_in:
            _judge(place, each, sheet.answers.get(number), lessons)
        else:
            _ask(place, each, number, sheet)
    if not sheet.handed_in:
        st.caption(t(f"{EXAM}.answered", done=len(sheet.answers), count=len(asked)))
        st.button(t(f"{EXAM}.hand_in"), type="primary", key=keys.HAND_IN, on_click=sheet.hand_in)
    fit_screen(f"{EXAM} {sheet.draw} {sheet.handed_in}")


def _ask(place: int, question: dict[str, Any], number: int, sheet: ExamSheet) -> None:
    chosen = st.radio(
        f"**{place}.** {question['ask']}",
        range(len(question["options"])),
        index=sheet.answers.get(number),
        format_func=question["options"].__getitem__,
        key=keys.EXAM_QUESTION.format(sheet.draw, number),
    )
    if chosen is not None:
        sheet.answers[number] = chosen


def _judge(
    place: int, question: dict[str, Any], chosen: int | None, lessons: Mapping[str, StreamlitPage]
) -> None:
    """A question with what was chosen and what is right, and why."""
    options, whys, right = question["options"], question["why"], question["right"]
    with st.container(border=True):
        st.markdown(f"**{place}.** {question['ask']}")
        if chosen is None:
            st.warning(t(f"{EXAM}.unanswered"), icon=":material/close:")
        elif chosen != right:
            st.warning(f"**{options[chosen]}**  \n{whys[chosen]}", icon=":material/close:")
        st.success(f"**{options[right]}**  \n{whys[right]}", icon=":material/check:")
        lesson = question["lesson"]
        title = t("lesson.on", number=NUMBERS[lesson], title=t(f"{lesson}.title"))
        st.page_link(lessons[lesson], label=title)
