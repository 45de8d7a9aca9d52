"""Questions of a lesson, and what is right or wrong about an answer; in a live class, what the
class answers until the teacher tells what is right."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import streamlit as st

from vitviz.classroom.classroom import Student, Teacher
from vitviz.errors import VitvizError
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import entry, explained, t
from vitviz.ui.visit.live_class import tried
from vitviz.ui.visit.state import visit

COUNTS_ANEW = 0.5  # seconds


def ask(key: str, heading: str) -> bool:
    """A question with its answers; says what is right or wrong about the chosen one. A teacher's
    question shows what the class answers.

    Returns:
        Whether what it asks for may be seen: it was answered, in a class it was told.
    """
    if teacher := visit().teaches:
        _votes(teacher, key, heading)
        return is_settled(key)
    question: dict[str, Any] = entry(key)
    answer = answered(key)
    drawn = key in st.session_state
    if drawn and st.session_state[key] != answer:  # the browser said later that it kept one
        st.session_state[key] = answer
    st.radio(
        f"**{heading}** {question['ask']}",
        range(len(question["options"])),
        index=None if drawn else answer,
        format_func=question["options"].__getitem__,
        key=key,
    )
    if student := visit().attends:
        return _hand_in(student, key)
    feedback(key)
    return is_answered(key)


def answered(key: str) -> int | None:
    """Which answer was chosen: it outlives a move to another step."""
    given, chosen = visit().answers, st.session_state.get(key)
    if chosen is not None:
        given[key] = chosen
    return given.get(key)


def is_answered(key: str) -> bool:
    """Whether an answer was given."""
    return answered(key) is not None


def is_right(key: str) -> bool:
    """Whether the answer that was given last is right."""
    right: bool = answered(key) == entry(key)["right"]
    return right


def is_settled(key: str) -> bool:
    """Whether nothing is left to ask: the answer is right, in a class it was told."""
    state = visit()
    if known := state.teaches or (state.follows and state.attends):
        try:
            return key in known.shown().revealed
        except VitvizError:  # said where the class is shown
            return False
    return is_right(key)


def why_hidden(key: str) -> str:
    """What stands in place of that which the question asks for."""
    if visit().teaches:
        return t("classroom.reveal_first")
    waits = visit().attends and answered(key) is not None
    return t("classroom.wait" if waits else "lesson.answer_first")


def recall(key: str, heading: str) -> None:
    """A question that is settled, with its answer and what is right about it."""
    question: dict[str, Any] = entry(key)
    right = question["right"]
    chose = ""
    if teacher := visit().teaches:
        with suppress(VitvizError):  # said where the class is shown
            counts = teacher.counts(key, len(question["options"]))
            chose = t("classroom.chose", count=counts[right], all=sum(counts))
    st.markdown(f"**{heading}** {question['ask']} **{question['options'][right]}** {chose}")
    st.success(question["why"][right], icon=":material/check:")


def feedback(key: str) -> None:
    """What is right or wrong about the chosen answer."""
    question, answer = entry(key), answered(key)
    if answer is None:
        return
    if is_right(key):
        st.success(question["why"][answer], icon=":material/check:")
    else:
        st.warning(question["why"][answer], icon=":material/close:")


@st.fragment(run_every=COUNTS_ANEW)
def _votes(teacher: Teacher, key: str, heading: str) -> None:
    """How many of the class chose each answer, and the button that tells what is right."""
    question: dict[str, Any] = entry(key)
    options, right = question["options"], question["right"]
    try:
        told = key in teacher.shown().revealed
        counts = teacher.counts(key, len(options))
    except VitvizError as error:
        st.warning(explained(error), icon=":material/cloud_off:")
        return
    st.markdown(f"**{heading}** {question['ask']}")
    for number, (option, count) in enumerate(zip(options, counts, strict=True)):
        mark = " ✓" if told and number == right else ""
        st.progress(count / max(1, sum(counts)), f"{option}{mark} · **{count}**")
    if told:
        st.success(question["why"][right], icon=":material/check:")
        return
    reveal = keys.REVEAL.format(key)
    pressed = st.button(t("classroom.reveal"), icon=":material/visibility:", key=reveal)
    if pressed and tried(teacher.reveal, key):
        st.rerun()


def _hand_in(student: Student, key: str) -> bool:
    """Give the class the answer; whether what is asked for may be seen."""
    answer, handed_in = answered(key), visit().handed_in
    try:
        told = key in student.shown().revealed
        if answer is not None and not told and handed_in.get(key) != answer:
            student.answer(key, answer)
            handed_in[key] = answer
    except VitvizError as error:
        st.warning(explained(error), icon=":material/cloud_off:")
        return False
    if told and answer is None:
        question = entry(key)
        st.info(
            f"**{question['options'][question['right']]}** {question['why'][question['right']]}"
        )
    elif told or not visit().follows:
        feedback(key)
    elif answer is not None:
        st.info(t("classroom.handed_in"), icon=":material/how_to_vote:")
    return told or (answer is not None and not visit().follows)
