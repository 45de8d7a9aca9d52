"""A lesson on paper: its words as an HTML page to print, with blanks or with answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

from markdown_it import MarkdownIt
from matplotlib import mathtext
from matplotlib.font_manager import FontProperties

from vitviz.pictures.html import inline, template
from vitviz.ui.course.lesson import Lesson
from vitviz.ui.visit.language import entry

PAGE = Path(__file__).with_suffix(".html")
TERM = re.compile(r"\*\*(.+?)\*\*")  # a bold word is one to remember
BLANK = "\\_" * 12
FORMULA = FontProperties(size=16)  # points: the exponents of a fraction can still be read


def worksheet(lesson: Lesson, *, answers: bool, tongue: str) -> str:
    """The lesson's worksheet, an HTML file of its own; without answers its terms are blank.

    Args:
        tongue: its language, "en" or "zh".
    """
    say = partial(entry, tongue=tongue)
    return template(PAGE).render(
        lesson=lesson, answers=answers, tongue=tongue, say=say, words=_words, formulas=_formulas
    )


@dataclass(frozen=True)
class _Formula:
    latex: str
    picture: str


def _words(markdown: str, *, blanks: bool = False) -> str:
    return str(MarkdownIt().render(TERM.sub(BLANK, markdown) if blanks else markdown))


def _formulas(latex: str) -> list[_Formula]:
    """A picture for each line."""
    lines = [line.strip() for line in latex.split(r"\\") if line]
    return [_Formula(line, _drawn(line)) for line in lines]


def _drawn(latex: str) -> str:
    """A formula as a picture inside the page."""
    picture = BytesIO()
    tall = latex.replace(r"\frac", r"\dfrac")  # fractions as KaTeX sets them in a line of their own
    mathtext.math_to_image(f"${tall}$", picture, prop=FORMULA, format="svg")
    return inline(picture.getvalue(), "svg+xml")
