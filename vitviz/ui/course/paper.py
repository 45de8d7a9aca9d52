"""What is printed: HTML pages that load nothing else, with formulas as pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path

from markdown_it import MarkdownIt
from matplotlib import mathtext
from matplotlib.font_manager import FontProperties

from vitviz.pictures.html import inline, template
from vitviz.ui.visit.language import entry

PICTURES = Path(__file__).parent.parent / "lessons" / "pictures" / "steps"
TERM = re.compile(r"\*\*(.+?)\*\*")  # a bold word is one to remember
BLANK = "\\_" * 12
FORMULA = FontProperties(size=16)  # points: the exponents of a fraction can still be read


def paper(name: str, tongue: str, **values: object) -> str:
    """A page from the template of this name.

    Args:
        tongue: its language, "en" or "zh".
        values: that the template asks for besides the texts.
    """
    say = partial(entry, tongue=tongue)
    page = template(Path(__file__).with_name(f"{name}.html"))
    return page.render(
        tongue=tongue,
        say=say,
        words=_words,
        formulas=_formulas,
        picture=partial(_picture, tongue),
        **values,
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


def _picture(tongue: str, lesson: str, step: str) -> str | None:
    """What a step shows, as a picture inside the page; None where it shows controls only. See
    assets/make_worksheet_pictures.py."""
    file = PICTURES / tongue / f"{lesson}-{step}.webp"
    return inline(file.read_bytes(), "webp") if file.exists() else None


@cache
def _drawn(latex: str) -> str:
    """A formula as a picture inside the page."""
    picture = BytesIO()
    tall = latex.replace(r"\frac", r"\dfrac")  # fractions as KaTeX sets them in a line of their own
    mathtext.math_to_image(f"${tall}$", picture, prop=FORMULA, format="svg")
    return inline(picture.getvalue(), "svg+xml")
