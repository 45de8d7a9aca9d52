"""The course as a drawing: a Vision Transformer from the photo to the class, each part with its
lesson; a click goes there."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise

import streamlit as st

from vitviz.ui.parts.browser import component
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import language, t
from vitviz.ui.visit.order import COURSE, NUMBERS
from vitviz.ui.visit.streamlit_private import go_to

FIRST, LAST = "photo", "class"  # the ends, which are no lesson
PARTS = ("tokens", "positions", "attention", "matrix", "manyheads", "layers", "prediction")
BLOCK = ("attention", "layers")  # its first and its last part
RESIDUALS = (("attention", "manyheads"), ("layers", "layers"))  # what is added around them
GAP, ABOVE, BELOW = 22, 36, 26  # between parts, and beside the row of them

_component = component("course_map")


@dataclass(frozen=True)
class Shape:
    """How the drawing is laid out: `long` and `broad` are a part's extents along the way and across
    it, `end` those of the two ends along it."""

    tall: bool
    long: int
    broad: int
    end: int

    def at(self, along: float, across: float) -> tuple[float, float]:
        """(x, y) of a place on the way."""
        return (across, along) if self.tall else (along, across)


WIDE, TALL = Shape(False, 104, 56, 50), Shape(True, 42, 230, 30)


def course_map(here: str | None, place: str) -> None:
    """Show it, with where the visitor is.

    Args:
        here: the lesson that is open, if one is.
        place: tells several on one page apart.
    """
    key = keys.COURSE_MAP.format(place)
    _component(
        data={"drawing": drawing(here), "alt": t("course_map.alt")},
        key=key,
        on_open_change=lambda: None,
    )
    chosen = st.session_state.get(key, {}).get("open")
    if chosen in NUMBERS and chosen != here:
        go_to(chosen)


def drawing(here: str | None) -> str:
    """As SVG, wide and tall, and the lessons that are no part of the model as links below."""
    others = "".join(
        f"<li>{_link(lesson, here, escape(f'{NUMBERS[lesson]} · ' + t(f'{lesson}.title')))}</li>"
        for lesson in COURSE
        if lesson not in PARTS
    )
    around = f"<p>{escape(t('course_map.around'))}</p><ul>{others}</ul>"
    return f"<div>{_model(here, WIDE)}{_model(here, TALL)}<section>{around}</section></div>"


def _model(here: str | None, shape: Shape) -> str:
    """The parts in a row or a column."""
    names = (FIRST, *PARTS, LAST)
    spans, along = {}, 2.0
    for name in names:
        long = shape.end if name in (FIRST, LAST) else shape.long
        spans[name] = along, along + long
        along += long + GAP
    width, height = shape.at(along - GAP + 2, ABOVE + shape.broad + BELOW)
    arrows = "".join(_arrow(shape, spans[a][1], spans[b][0]) for a, b in pairwise(names))
    residuals = "".join(_residual(shape, spans[a][0], spans[b][1]) for a, b in RESIDUALS)
    boxes = "".join(_box(shape, name, spans[name], here) for name in names)
    kind = "tall" if shape.tall else "wide"
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="group">'
        f"{_block(shape, spans[BLOCK[0]][0], spans[BLOCK[1]][1])}{arrows}{residuals}{boxes}</svg>"
    )


def _box(shape: Shape, name: str, span: tuple[float, float], here: str | None) -> str:
    """A part with its name, and the number of its lesson."""
    x, y = shape.at(span[0], ABOVE)
    width, height = shape.at(span[1] - span[0], shape.broad)
    words = escape(t(f"course_map.{name}"))
    middle, centre = x + width / 2, y + height / 2
    if name not in NUMBERS:
        return f'<text x="{middle:g}" y="{centre:g}">{words}</text>'
    rows = (x + 18, centre, middle + 12, centre) if shape.tall else (middle, y + 18, middle, y + 39)
    inside = (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>'
        f'<text class="number" x="{rows[0]:g}" y="{rows[1]:g}">{NUMBERS[name]}</text>'
        f'<text x="{rows[2]:g}" y="{rows[3]:g}">{words}</text>'
    )
    return _link(name, here, inside)


def _link(lesson: str, here: str | None, inside: str) -> str:
    """What leads to a lesson; where the visitor is, a mark instead."""
    title = escape(f"{NUMBERS[lesson]} · {t(f'{lesson}.title')}")
    if lesson == here:
        return f'<a class="here" aria-current="page" aria-label="{title}">{inside}</a>'
    address = f"{lesson}?lang={language()}"
    return f'<a href="{address}" data-lesson="{lesson}" aria-label="{title}">{inside}</a>'


def _arrow(shape: Shape, start: float, end: float) -> str:
    (x, y), (to_x, to_y) = (shape.at(m, ABOVE + shape.broad / 2) for m in (start + 3, end - 7))
    tips = [shape.at(end - 8, ABOVE + shape.broad / 2 + side) for side in (-4, 4)]
    tip = shape.at(end - 2, ABOVE + shape.broad / 2)
    points = " ".join(f"{px:g},{py:g}" for px, py in (*tips, tip))
    return f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}"/><polygon points="{points}"/>'


def _residual(shape: Shape, start: float, end: float) -> str:
    """A line that leaves the way before some parts, goes around them, and is added behind them."""
    middle, beside = ABOVE + shape.broad / 2, ABOVE - 12
    before, behind = start - 6, end + GAP / 2 - 4
    corners = ((before, middle), (before, beside), (behind, beside), (behind, middle - 7))
    points = "L".join(f"{x:g} {y:g}" for x, y in (shape.at(m, c) for m, c in corners))
    x, y = shape.at(behind, middle)
    return (
        f'<path d="M{points}"/><circle cx="{x:g}" cy="{y:g}" r="7"/>'
        f'<path d="M{x - 4:g} {y:g}h8M{x:g} {y - 4:g}v8"/>'
    )


def _block(shape: Shape, start: float, end: float) -> str:
    """The frame around what a block is made of."""
    x, y = shape.at(start - 16, 12)
    width, height = shape.at(end - start + 34, ABOVE + shape.broad - 6)
    words = escape(t("course_map.blocks"))
    where = (
        f'x="{x + width + 12:g}" y="{y + height / 2:g}" '
        f'transform="rotate(90 {x + width + 12:g} {y + height / 2:g})"'
        if shape.tall
        else f'x="{x + width / 2:g}" y="{y + height + 13:g}"'
    )
    return (
        f'<rect class="block" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="12"/>'
        f'<text class="note" {where}>{words}</text>'
    )
