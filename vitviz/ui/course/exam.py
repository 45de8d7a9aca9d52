"""The final exam: which questions are drawn, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from random import Random
from typing import Any

from vitviz.ui.course.paper import paper
from vitviz.ui.visit.language import entry

COUNT = 30  # questions of an exam
EXAM = "exam"  # its address, and the key of its texts


def draw(lessons: Sequence[str], seed: int) -> list[int]:
    """The numbers of an exam's questions, as many of each lesson as of any other, or one more.

    Args:
        lessons: the one of each question of the pool.
        seed: the same gives the same questions.
    """
    chance = Random(seed)
    pools: dict[str, list[int]] = {}
    for number, lesson in enumerate(lessons):
        pools.setdefault(lesson, []).append(number)
    for numbers in pools.values():
        chance.shuffle(numbers)
    rounds = zip_longest(*chance.sample(list(pools.values()), len(pools)))
    drawn = [number for number in chain.from_iterable(rounds) if number is not None]
    return sorted(drawn[:COUNT])


def questions(seed: int, tongue: str | None = None) -> dict[int, dict[str, Any]]:
    """The questions of an exam by their numbers in the pool.

    Args:
        tongue: the language; None is the visitor's, which only a page's own run knows.
    """
    pool = entry(f"{EXAM}.questions", tongue)
    return {number: pool[number] for number in draw([asked["lesson"] for asked in pool], seed)}


def printed_exam(seed: int, *, key: bool, tongue: str) -> str:
    """The exam as an HTML page to print.

    Args:
        key: whether the right answers are marked, with their reasons.
        tongue: its language, "en" or "zh".
    """
    return paper("exam", tongue, seed=seed, key=key, questions=questions(seed, tongue).values())
