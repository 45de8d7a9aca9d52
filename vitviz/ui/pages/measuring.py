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
from vitviz.recording.recording import Recording
from vitviz.ui.controls.question import method_title
from vitviz.ui.pages.curves_chart import curves_chart
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.parts.map_sheet import Panel, map_sheet
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import explained, t
from vitviz.ui.visit.session import Look, Session
from vitviz.ui.visit.work import Work
from vitviz.ui.visit.works import carried_out

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
            begun = Measuring(session.rec, session.results, asked, wanted)
            what = (session.results, *wanted, asked.target, asked.exact)
            bar, shown = st.container(), SoFar(session, asked, alt_text, key)
            text = t("compare.measuring")
            with bar:
                carried_out(f"compare {key}", what, text, begun.measure, shown.draw)
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


@dataclass(frozen=True)
class Told:
    """What there is of a comparison.

    Attributes:
        methods: that can be measured, in the order in which they were chosen.
        maps: by their method.
        curves: by their method and kind.
    """

    methods: list[str]
    maps: dict[str, list[Heatmap]]
    curves: dict[tuple[str, Change], list[Curve]]


class Measuring:
    """A comparison that is made; all that is finished is kept."""

    def __init__(self, rec: Recording, results: Memo, asked: Asked, wanted: list[str]) -> None:
        self.rec, self.results, self.asked = rec, results, asked
        self.methods = [method for method in wanted if refused(results, method, asked) is None]
        self.maps: dict[str, list[Heatmap]] = {}
        self.curves: dict[tuple[str, Change], list[Curve]] = {}

    def measure(self, work: Work[None]) -> None:
        """All maps first, then the curves that are shown, then the others; at last more points for
        methods whose ranks are not certain."""
        wanted, tolerance = list(self.methods), self.asked.tolerance
        for number, method in enumerate(wanted):
            with self.left_out_if_refused(method):
                self.make_maps(method, part_of(work.progress, number, 1, 6 * len(wanted)))
            self.tell(work)
        self.make_curves(work, wanted, tolerance, (1, 4))
        found = (measured(self.results, m, self.asked.target, tolerance) for m in self.methods)
        if not self.asked.exact:
            close = too_close(m for m in found if m is not None)
            self.make_curves(work, close, FINE, (5, 1))

    @contextmanager
    def left_out_if_refused(self, method: str) -> Iterator[None]:
        """Goes on without a method that cannot be measured."""
        try:
            yield
        except (MethodError, ModelError) as error:
            key = (method, self.asked.target)
            self.results.keep(key, error.with_traceback(None), "refused", MOST_KEPT)
            self.methods.remove(method)

    def tell(self, work: Work[None]) -> None:
        """What there is so far."""
        work.tell(Told(list(self.methods), dict(self.maps), dict(self.curves)))

    def make_maps(self, method: str, progress: Progress) -> None:
        """A method's maps, kept for when this is ended and begun again."""
        key = (method, self.asked.target)
        maps = self.results.find(key, "compared")
        if maps is None:
            maps = maps_of(self.rec, method, self.asked.target, progress=progress)
        self.maps[method] = self.results.keep(key, maps, "compared", len(METHODS))

    def make_curves(
        self,
        work: Work[None],
        methods: list[str],
        tolerance: float | None,
        part: tuple[float, float],
    ) -> None:
        """Both kinds of curves of methods, those that are shown first.

        Args:
            part: what is done before and how much this is, in sixths of the whole.
        """
        shown_first = sorted(CHANGES, key=lambda change: change != self.asked.change)
        steps = list(product(shown_first, methods))
        progress = part_of(work.progress, *part, 6)
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
                self.tell(work)
        for method in methods:
            if method in self.methods:
                self.keep(method, tolerance)

    def keep(self, method: str, tolerance: float | None) -> None:
        removed, revealed = (self.curves[method, change] for change in CHANGES)
        found = combined(method, self.maps[method], removed, revealed)
        key = (method, self.asked.target, tolerance)
        self.results.keep(key, found, "measured", MOST_KEPT)


class SoFar:
    """A comparison that is shown while it is made."""

    def __init__(self, session: Session, asked: Asked, alt_text: str, key: str) -> None:
        self.session, self.asked, self.alt_text, self.key = session, asked, alt_text, key
        self.sheet, self.words, self.lines = st.empty(), st.empty(), st.empty()
        self.maps = 0  # that are shown

    def draw(self, told: Told) -> None:
        """What is there of it now."""
        if len(told.maps) != self.maps:
            self.maps = len(told.maps)
            self.show_maps(told)
        if told.curves:
            self.show_curves(told)

    def show_maps(self, told: Told) -> None:
        """The maps that are there, in the order in which the methods were chosen."""
        maps = {m: told.maps[m][0].shares for m in told.methods if m in told.maps}
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

    def show_curves(self, told: Told) -> None:
        """The curves that are there, and how many are not."""
        asked = self.asked
        shown = [m for m in told.methods if (m, asked.change) in told.curves]
        curves = {method: mean_curve(told.curves[method, asked.change]) for method in shown}
        done = sum((m, change) in told.curves for m in told.methods for change in CHANGES)
        of = len(CHANGES) * len(told.methods)
        sentence = (
            t("compare.underway", done=str(done), of=str(of)) if done < of else t("compare.closer")
        )
        self.words.markdown(sentence)
        if curves:
            chart = curves_chart(curves, asked.share, self.session.rec.outputs)
            with self.lines.container():
                draw_chart(chart, alt=t("compare.curves", label=asked.name))
