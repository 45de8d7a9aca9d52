"""A lesson on paper: its words as an HTML page to print, with blanks or with answers."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import Any

from markdown_it import MarkdownIt
from matplotlib import mathtext
from matplotlib.font_manager import FontProperties

from vitviz.ui.course.lesson import Lesson
from vitviz.ui.parts.browser import as_text
from vitviz.ui.visit.language import entry

TERM = re.compile(r"\*\*(.+?)\*\*")  # a bold word is one to remember
FORMULA = 16  # points: the exponents of a fraction can still be read
BLANK = "\\_" * 12
LINE = '<p class="line"></p>'
STYLE = """
body { font: 12pt/1.5 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif;
  max-width: 44rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1 { font-size: 1.6em; } h2 { font-size: 1.15em; margin: 1.6em 0 0.3em; }
section { break-inside: avoid; }
ul.choices { list-style: none; padding-left: 0; }
p.line { border-bottom: 1px solid #999; height: 1.6em; margin: 0; }
p.name { display: flex; gap: 2rem; } p.name span { flex: 1; border-bottom: 1px solid #999; }
p.why { color: #0f766e; }
div.results:has(img) { border-left: 3px solid #0f766e; padding-left: 0.8em; }
img { vertical-align: middle; max-width: 100%; }
"""


def worksheet(lesson: Lesson, *, answers: bool, tongue: str) -> str:
    """The lesson's worksheet, an HTML file of its own; without answers its terms are blank.

    Args:
        tongue: its language, "en" or "zh".
    """
    say = partial(entry, tongue=tongue)
    title = f"{lesson.number} · {html.escape(say(f'{lesson.id}.title'))}"
    name = "".join(f"<span>{html.escape(say(f'lesson.{key}'))}</span>" for key in ("name", "date"))
    body = "\n".join(f"<section>{part}</section>" for part in _sections(lesson, answers, say))
    return (
        f'<!doctype html><html lang="{tongue}"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"
        f'<p class="name">{name}</p><p>{_words(say(f"{lesson.id}.goal"))}</p>{body}</body></html>'
    )


def _sections(lesson: Lesson, answers: bool, say: Callable[[str], Any]) -> Iterator[str]:
    """Each step, the task and the self-check."""
    for step in lesson.steps:
        key = f"{lesson.id}.{step.id}"
        text = say(f"{key}.text")
        shown = _words(text if answers else TERM.sub(BLANK, text))
        formula = "".join(_formulas(step.formula))
        found = _formulas(step.results)
        results = "".join(found if answers else [LINE] * len(found))
        guess = _question(say(f"{key}.guess"), answers) if step.guess else ""
        asked = f'<div class="results">{results}</div>{guess}'
        yield f"<h2>{html.escape(say(f'{key}.title'))}</h2>{shown}{formula}{asked}"
    yield f"<h2>{html.escape(say('lesson.try'))}</h2>{_words(say(f'{lesson.id}.try'))}{LINE * 3}"
    check = "".join(_question(question, answers) for question in say(f"{lesson.id}.check"))
    yield f"<h2>{html.escape(say('lesson.check'))}</h2>{check}"


def _question(question: dict[str, Any], answers: bool) -> str:
    """A question with boxes to tick; the right one is ticked and explained with the answers."""
    right = question["right"]
    choices = "".join(
        f"<li>{'☒' if answers and index == right else '☐'} {html.escape(option)}</li>"
        for index, option in enumerate(question["options"])
    )
    why = f'<p class="why">{html.escape(question["why"][right])}</p>' if answers else ""
    return f'{_words(question["ask"])}<ul class="choices">{choices}</ul>{why}'


def _words(markdown: str) -> str:
    return str(MarkdownIt().render(markdown))


def _formulas(latex: str) -> list[str]:
    """A picture for each line."""
    return [f"<p>{_formula(line.strip())}</p>" for line in latex.split(r"\\") if line]


def _formula(latex: str) -> str:
    """A formula as a picture inside the page."""
    picture = BytesIO()
    large = FontProperties(size=FORMULA)
    tall = latex.replace(r"\frac", r"\dfrac")  # fractions as KaTeX sets them in a line of their own
    mathtext.math_to_image(f"${tall}$", picture, prop=large, format="svg")
    code = as_text(picture.getvalue())
    return f'<img alt="{html.escape(latex)}" src="data:image/svg+xml;base64,{code}">'
