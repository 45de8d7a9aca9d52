"""Questions of a lesson, and what is right or wrong about an answer."""

from __future__ import annotations

from typing import Any

import streamlit as st

from vitviz.ui.visit.language import entry
from vitviz.ui.visit.state import visit


def ask(key: str, heading: str) -> bool:
    """A question with its answers; says what is right or wrong about the chosen one.

    Returns:
        Whether it was answered.
    """
    question: dict[str, Any] = entry(key)
    st.radio(
        f"**{heading}** {question['ask']}",
        range(len(question["options"])),
        index=answered(key),
        format_func=question["options"].__getitem__,
        key=key,
    )
    feedback(key)
    return is_answered(key)


def answered(key: str) -> int | None:
    """Which answer was chosen: it outlives a move to another step."""
    given = visit().answers
    if key in st.session_state:
        given[key] = st.session_state[key]
    return given.get(key)


def is_answered(key: str) -> bool:
    """Whether an answer was given."""
    return answered(key) is not None


def is_right(key: str) -> bool:
    """Whether the answer that was given last is right."""
    right: bool = answered(key) == entry(key)["right"]
    return right


def recall(key: str, heading: str) -> None:
    """A question that was answered, with its answer and what is right about it."""
    question: dict[str, Any] = entry(key)
    answer = answered(key)
    if answer is not None:
        said = f"**{heading}** {question['ask']} **{question['options'][answer]}**"
        st.markdown(said)
        feedback(key)


def feedback(key: str) -> None:
    """What is right or wrong about the chosen answer."""
    question, answer = entry(key), answered(key)
    if answer is None:
        return
    if is_right(key):
        st.success(question["why"][answer], icon=":material/check:")
    else:
        st.warning(question["why"][answer], icon=":material/close:")
