"""A lesson on paper: its words as an HTML page to print, with blanks or with answers."""

from __future__ import annotations

from vitviz.ui.course.lesson import Lesson
from vitviz.ui.course.paper import paper


def worksheet(lesson: Lesson, *, answers: bool, tongue: str) -> str:
    """The lesson's worksheet, an HTML file of its own; without answers its terms are blank.

    Args:
        tongue: its language, "en" or "zh".
    """
    return paper("worksheet", tongue, lesson=lesson, answers=answers)
