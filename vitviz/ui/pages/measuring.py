"""Methods being measured: each map and curve is shown as soon as it is there, without a rank."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import streamlit as st

from vitviz.errors import MethodError, ModelError, VitvizError
from vitviz.heatmap import Heatmap
from vitviz.measures.comparison import (
    CHANGES,
    FINE,
    QUICK,
    Measured,
    combined,
    curves_of,
    maps_of,
    mean_curve,
    too_close,
)
from vitviz.measures.curves import Change, Curve
from vitviz.memo import Memo
from vitviz.methods.explain import BASELINE, METHODS
from vitviz.pictures.overlay import shared_scale
from vitviz.progress import Progress, part_of
from vitviz.ui.controls.question import method_title
from vitviz.ui.pages.curves_chart import curves_chart
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.parts.map_sheet import Panel, map_sheet
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import explained, t
from vitviz.ui.visit.session import Look, Session
from vitviz.ui.visit.turns import many_turns

LOOK = Look("inferno", 0.6, True)
MOST_KEPT = 32 * len(METHODS)  # measurements of a photo, some 4 kB each


@dataclass(frozen=True)
class Asked:
    """What is measured, and what is shown of it.

    Attributes:
        methods: ids, without the random orders that are measured with them.
        target: index of the class.
        name: of the class, in the visitor's language.
        exact: whether every curve has all of its points.
        change: whose curves are shown.
        share: of the patches, where the photo is shown.
    """

    methods: list[str]
    target: int
    name: str
    exact: bool
    change: Change
    share: float

    @property
    def tolerance(self) -> float | None:
        """Of the curves at first."""
        return None if self.exact else QUICK


def measurements(session: Session, asked: Asked, alt_text: str, key: str) -> list[Measured]:
    """Every wanted method and random order, each measured once for a class.

    While some are missing, what there is of them is shown. A method that cannot be measured is left
    out with a warning.
    """
    wanted = [*asked.methods, BASELINE] if asked.methods else []
    found = from_kept(session.results, asked, wanted)
    if found is None:
        place = st.empty()
        with place.container():
            Unfinished(session, asked, alt_text, key, wanted).measure()
        place.empty()
        found = from_kept(session.results, asked, wanted) or []
    for method in wanted:
        if (error := refused(session.results, method, asked)) is not None:
            st.warning(explained(error), icon=":material/block:")
    return found


def from_kept(results: Memo, asked: Asked, wanted: list[str]) -> list[Measured] | None:
    """What is measured of the wanted methods; None if that is not all that can be."""
    able = [method for method in wanted if refused(results, method, asked) is None]
    found = {method: measured(results, method, asked.target, asked.tolerance) for method in able}
    first = [m for m in found.values() if m is not None]
    if len(first) == len(able) and not asked.exact:
        found |= {m: measured(results, m, asked.target, FINE) for m in too_close(first)}
    final = [m for m in found.values() if m is not None]
    return final if len(final) == len(able) else None


def refused(results: Memo, method: str, asked: Asked) -> VitvizError | None:
    """Why a method cannot be measured."""
    error: VitvizError | None = results.find((method, asked.target), "refused")
    return error


def measured(results: Memo, method: str, target: int, tolerance: float | None) -> Measured | None:
    """A method whose curves are kept."""
    found: Measured | None = results.find((method, target, tolerance), "measured")
    return found


class Unfinished:
    """A comparison that is shown while it is made."""

    def __init__(
        self, session: Session, asked: Asked, alt_text: str, key: str, wanted: list[str]
    ) -> None:
        self.session, self.asked, self.alt_text, self.key = session, asked, alt_text, key
        self.rec, self.results = session.rec, session.results
        self.methods = [method for method in wanted if refused(self.results, method, asked) is None]
        self.maps: dict[str, list[Heatmap]] = {}
        self.curves: dict[tuple[str, Change], list[Curve]] = {}

    def measure(self) -> None:
        """All maps first, then the curves that are shown, then the others; at last more points for
        methods whose ranks are not certain. All that is finished is kept."""
        wanted, tolerance = list(self.methods), self.asked.tolerance
        with many_turns(t("compare.measuring")) as progress:
            self.sheet, self.words, self.lines = st.empty(), st.empty(), st.empty()
            for number, method in enumerate(wanted):
                with self.left_out_if_refused(method):
                    self.make_maps(method, part_of(progress, number, 1, 6 * len(wanted)))
            self.make_curves(wanted, tolerance, part_of(progress, 1, 4, 6))
            found = (measured(self.results, m, self.asked.target, tolerance) for m in self.methods)
            if not self.asked.exact:
                close = too_close(m for m in found if m is not None)
                self.make_curves(close, FINE, part_of(progress, 5, 1, 6))

    @contextmanager
    def left_out_if_refused(self, method: str) -> Iterator[None]:
        """Goes on without a method that cannot be measured."""
        try:
            yield
        except (MethodError, ModelError) as error:
            key = (method, self.asked.target)
            self.results.keep(key, error.with_traceback(None), "refused", MOST_KEPT)
            self.methods.remove(method)

    def make_maps(self, method: str, progress: Progress) -> None:
        """A method's maps, kept for when this is ended and begun again."""
        key = (method, self.asked.target)
        maps = self.results.find(key, "compared")
        if maps is None:
            maps = maps_of(self.rec, method, self.asked.target, progress=progress)
        self.maps[method] = self.results.keep(key, maps, "compared", len(METHODS))
        self.show_maps()

    def make_curves(self, methods: list[str], tolerance: float | None, progress: Progress) -> None:
        """Both kinds of curves of methods, those that are shown first."""
        shown_first = sorted(CHANGES, key=lambda change: change != self.asked.change)
        steps = list(product(shown_first, methods))
        for number, (change, method) in enumerate(steps):
            if method in self.methods:
                with self.left_out_if_refused(method):
                    self.curves[method, change] = curves_of(
                        self.rec,
                        self.maps[method],
                        change,
                        self.asked.target,
                        tolerance,
                        part_of(progress, number, 1, len(steps)),
                    )
                    self.show_curves()
        for method in methods:
            if method in self.methods:
                self.keep(method, tolerance)

    def keep(self, method: str, tolerance: float | None) -> None:
        removed, revealed = (self.curves[method, change] for change in CHANGES)
        found = combined(method, self.maps[method], removed, revealed)
        key = (method, self.asked.target, tolerance)
        self.results.keep(key, found, "measured", MOST_KEPT)

    def show_maps(self) -> None:
        """The maps that are there, in the order in which the methods were chosen."""
        maps = {m: self.maps[m][0].shares for m in self.methods if m in self.maps}
        panels = [
            Panel(
                method,
                method_title(method),
                f"{method_title(method)}. {self.alt_text}",
                heat,
                False,
            )
            for method, heat in maps.items()
        ]
        with self.sheet.container():
            map_sheet(
                self.session,
                panels,
                LOOK,
                columns=0,
                scale=shared_scale(maps.values()),
                alt=t("compare.unranked"),
                key=keys.UNRANKED_MAPS.format(self.key, len(maps)),
                on_open=lambda: None,
            )

    def show_curves(self) -> None:
        """The curves that are there, and how many are not."""
        asked = self.asked
        shown = [m for m in self.methods if (m, asked.change) in self.curves]
        curves = {method: mean_curve(self.curves[method, asked.change]) for method in shown}
        chart = curves_chart(curves, asked.share, self.session.rec.outputs)
        done = sum((m, change) in self.curves for m in self.methods for change in CHANGES)
        of = len(CHANGES) * len(self.methods)
        sentence = (
            t("compare.underway", done=str(done), of=str(of)) if done < of else t("compare.closer")
        )
        self.words.markdown(sentence)
        with self.lines.container():
            draw_chart(chart, alt=t("compare.curves", label=asked.name))
