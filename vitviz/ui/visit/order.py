"""The order of the lessons. Their numbers follow from it, everywhere: a text that names a lesson by
its number says {lesson_ID}."""

from __future__ import annotations

COURSE = (
    "idea",
    "tokens",
    "positions",
    "attention",
    "matrix",
    "manyheads",
    "layers",
    "prediction",
    "training",
    "pretraining",
    "cnn",
    "cost",
    "words",
    "captions",
    "beyond",
    "detection",
    "outlook",
)
NUMBERS = {lesson: number for number, lesson in enumerate(COURSE)}


def following(lesson: str) -> str | None:
    """The lesson after this one; None after the last."""
    number = NUMBERS[lesson] + 1
    return COURSE[number] if number < len(COURSE) else None
