"""The whole course on paper."""

from __future__ import annotations

from collections.abc import Sequence

from vitviz.ui.course.exam import EXAM
from vitviz.ui.course.glossary_page import search
from vitviz.ui.course.lesson import Lesson
from vitviz.ui.course.paper import paper
from vitviz.ui.course.terms import GLOSSARY
from vitviz.ui.visit.language import entry
from vitviz.ui.visit.order import NUMBERS


def booklet(lessons: Sequence[Lesson], *, tongue: str) -> str:
    """All lessons, the glossary, every question of the exam, and the answers at the end, as an HTML
    file of its own.

    Args:
        lessons: in order.
        tongue: its language, "en" or "zh".
    """
    return paper(
        "booklet",
        tongue,
        lessons=lessons,
        terms=search(entry(f"{GLOSSARY}.terms", tongue), ""),
        exam=entry(f"{EXAM}.questions", tongue),
        numbers=NUMBERS,
    )
