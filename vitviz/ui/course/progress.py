"""What of the course is done: the visitor's own browser keeps the answers given in lessons."""

from __future__ import annotations

from functools import cache

import streamlit as st

from vitviz.ui.course.asking import answered, is_answered
from vitviz.ui.course.lesson import Lesson
from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.parts.browser_memory import browser_memory
from vitviz.ui.visit.language import ENGLISH, entry
from vitviz.ui.visit.state import visit

ANSWERS = "answers"  # what a browser keeps them under


def remember_answers() -> None:
    """Let the browser keep the answers, and take them up again after a reload."""
    state = visit()
    asked = _questions()
    given = {key: answer for key in asked if (answer := answered(key)) is not None}
    found = browser_memory(ANSWERS, given or None)
    if state.answers_found or not isinstance(found, dict):
        return
    state.answers_found = True
    for key, options in asked.items():
        answer = found.get(key)
        if key not in given and type(answer) is int and 0 <= answer < options:
            state.answers[key] = answer
            if key in st.session_state:  # it is on the page already
                st.session_state[key] = answer


def done(lesson: Lesson) -> int:
    """How many of its questions are answered."""
    return sum(map(is_answered, lesson.questions))


@cache
def _questions() -> dict[str, int]:
    """Every question of the lessons by its key, with how many options it has."""
    return {
        key: len(entry(key, ENGLISH)["options"]) for lesson in lessons() for key in lesson.questions
    }
