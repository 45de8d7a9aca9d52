"""Which explanation to believe: methods side by side, measured on the photo at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from vitviz.errors import MethodError, VitvizError
from vitviz.measures.comparison import CHANGES, Measured, maps_of, ranked, supported
from vitviz.measures.curves import Change, masked_input, value_at
from vitviz.methods.explain import BASELINE
from vitviz.models.outputs import Meaning, written
from vitviz.pictures.input import input_picture
from vitviz.pictures.overlay import shared_scale
from vitviz.ui.controls.choice import choice
from vitviz.ui.controls.model_picker import is_here, page_head
from vitviz.ui.controls.photo_picker import choose_photo, sample_photos
from vitviz.ui.controls.question import method_title, methods_for
from vitviz.ui.pages.curves_chart import curves_chart, value_of
from vitviz.ui.pages.measuring import LOOK, MOST_KEPT, Asked, measurements
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.parts.map_sheet import Panel, map_sheet
from vitviz.ui.parts.notices import left_out
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import analyse
from vitviz.ui.visit.language import explained, label, t
from vitviz.ui.visit.markdown import as_code
from vitviz.ui.visit.session import Photo, Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.turns import turn
from vitviz.zoo.catalogue import offers

FIRST = ["attention", "rollout", "relevance", "gradcam"]
POINTS = 16  # of the curves at which the changed photo can be seen


@dataclass(frozen=True)
class Comparison:
    """What is compared: methods, the class by its name, how exactly, and a point of a kind of
    curve by its share of the patches."""

    methods: list[str]
    target: str | None
    exact: bool
    change: Change
    share: float


def page() -> None:
    """The chosen methods on one photo, or on two photos or models beside each other."""
    model = page_head(t("compare.title"))
    photo = choose_photo()
    if not is_here(model):
        return
    try:
        session = analyse(photo, model.name)
        if not session.rec.predictions:
            raise MethodError(
                "no_class_to_measure",
                "This model has no classifier, so there is no class to measure.",
            )
        left_out(session.rec)
        comparison, second = comparison_controls(session, photo, model.name)
    except VitvizError as error:
        st.error(f"{as_code(photo.name)}: {explained(error)}", icon=":material/error:")
        return
    if second is None:
        compare(session, photo.alt, comparison, "alone")
        return
    left, right = st.columns(2, gap="large")
    with left:
        compare(session, photo.alt, comparison, "left")
    with right:
        compare(*second, comparison, "right")


def comparison_controls(
    session: Session, photo: Photo, model: str
) -> tuple[Comparison, tuple[Session, str] | None]:
    """The controls, which serve both sides where there are two."""
    methods = choice(
        st.pills,
        t("compare.methods"),
        [method for method in methods_for(session.rec) if method != BASELINE],
        FIRST,
        keys.METHODS,
        method_title,
        selection_mode="multi",
        help=t("compare.methods_help"),
    )
    labels = [p.label for p in session.rec.predictions]
    left, middle, right, last = st.columns(4)
    hint = t("ask.top", label=label(labels[0]))
    target: str | None = choice(
        left.selectbox, t("ask.class"), labels, None, keys.TARGET, label, placeholder=hint
    )
    with middle:
        second = second_controls(photo, model)
    change: Change = choice(
        right.segmented_control,
        t("compare.direction"),
        CHANGES,
        CHANGES[0],
        keys.CHANGE,
        lambda change: t(f"compare.{change}"),
        required=True,
    )
    step = last.select_slider(
        t("compare.changed"),
        range(POINTS + 1),
        POINTS // 4,
        format_func=lambda step: f"{step / POINTS:.0%}",
        key=keys.CURVE_STEP,
        bind=URL,
    )
    exact = st.toggle(t("compare.exact"), key=keys.EXACT, bind=URL, help=t("compare.exact_help"))
    return Comparison(methods, target, exact, change, step / POINTS), second


def second_controls(photo: Photo, model: str) -> tuple[Session, str] | None:
    """Another photo, or the same one in another model on this machine, and its description."""
    models = [other.name for other in offers() if other.here and other.name != model]
    titles = {key: title for key, (title, _) in sample_photos().items()}
    offered = {key: (other, model) for key, (_, other) in sample_photos().items()}
    offered |= {name: (photo, name) for name in models}
    chosen = choice(
        st.selectbox,
        t("compare.beside"),
        list(offered),
        None,
        keys.BESIDE,
        lambda key: titles.get(key, key),
        placeholder=t("compare.photo_or_model" if models else "compare.photo"),
    )
    if chosen is None:
        return None
    other, name = offered[chosen]
    return analyse(other, name, "second"), other.alt


def compare(session: Session, alt_text: str, comparison: Comparison, key: str) -> None:
    """Maps on one scale, what the measurements say, the curves and the changed photo."""
    rec = session.rec
    index = {p.label: p.index for p in rec.predictions}
    target = index.get(comparison.target or "", rec.predictions[0].index)
    name = label(next(p.label for p in rec.predictions if p.index == target))
    asked = Asked(
        comparison.methods, target, name, comparison.exact, comparison.change, comparison.share
    )
    found = measurements(session, asked, alt_text, key)
    if len(found) < 2:
        st.info(t("compare.choose"), icon=":material/touch_app:")
        return
    order = ranked(found)
    chosen = pick_panel(session, order, alt_text, key)
    st.markdown(verdict(order, name))
    alone = key == "alone"
    left, right = st.columns([3, 2], gap="large") if alone else (st.container(), st.container())
    with left:
        curves = {m.method: m.curve(comparison.change) for m in order}
        chart = curves_chart(curves, comparison.share, rec.outputs)
        draw_chart(chart, alt=t("compare.curves", label=name))
        scores(order, rec.outputs)
        if not comparison.exact:
            st.caption(t("compare.quick"))
    with right:
        changed_photo(session, chosen, asked)


def pick_panel(session: Session, order: list[Measured], alt_text: str, key: str) -> Measured:
    """The maps in the order of their rank, in shares of their sum; a click chooses one."""
    maps = {m.method: m.heat.shares for m in order}
    held = visit().panels.get(key)
    chosen = next((m for m in order if m.method == held), order[0])
    panels = [
        Panel(
            m.method,
            f"{rank} · {method_title(m.method)}",
            t("compare.ranked", rank=rank, method=method_title(m.method), alt=alt_text),
            maps[m.method],
            m is chosen,
        )
        for rank, m in enumerate(order, start=1)
    ]

    def choose() -> None:
        visit().panels[key] = st.session_state[keys.METHOD_MAPS.format(key)].open

    map_sheet(
        session,
        panels,
        LOOK,
        columns=0,
        scale=shared_scale(maps.values()),
        alt=t("compare.maps"),
        key=keys.METHOD_MAPS.format(key),
        on_open=choose,
    )
    return chosen


def verdict(order: list[Measured], name: str) -> str:
    """Which method the model's behaviour supports here, in a sentence."""
    baseline = next(m for m in order if m.method == BASELINE)
    best = next(m for m in order if m.method != BASELINE)
    return t(
        "compare.supported" if supported(best, baseline) else "compare.none",
        method=method_title(best.method),
        label=as_code(name),
        gain=f"{best.score - baseline.score:+.2f}",
        deviation=f"{baseline.deviation:.2f}",
        areas=t(
            "compare.areas",
            deletion=f"{best.deletion.area:.2f}",
            random_deletion=f"{baseline.deletion.area:.2f}",
            insertion=f"{best.insertion.area:.2f}",
            random_insertion=f"{baseline.insertion.area:.2f}",
        ),
    )


def scores(order: Sequence[Measured], outputs: Meaning) -> None:
    """Ranks and areas as a table that sorts."""
    baseline = next(m for m in order if m.method == BASELINE)
    table = pd.DataFrame(
        {
            t("compare.rank"): rank,
            t("compare.method"): method_title(m.method),
            t("compare.deletion_area"): m.deletion.area,
            t("compare.insertion_area"): m.insertion.area,
            t("compare.both"): m.score,
            t("compare.over_random"): m.score - baseline.score,
        }
        for rank, m in enumerate(order, start=1)
    )
    number = st.column_config.NumberColumn(format="%.3f")
    st.dataframe(
        table,
        hide_index=True,
        column_config=dict.fromkeys(table.columns[2:], number),
        alt=t("compare.areas_alt"),
    )
    st.caption(t("compare.areas_meaning", value=t(f"compare.value_{value_of(outputs)}")))


def changed_photo(session: Session, chosen: Measured, asked: Asked) -> None:
    """What the model is given at this point of the curve, and what it says."""
    rec, change, share = session.rec, asked.change, asked.share

    pixels = masked_input(rec, chosen.heat, share, change)
    text = t(
        f"compare.after_{change}",
        share=f"{share:.0%}",
        method=method_title(chosen.method),
        label=as_code(asked.name),
        value=written(value(session, chosen, asked), rec.outputs),
    )
    if chosen.method == BASELINE:
        text += t("compare.random_mean")
    st.image(input_picture(session.rec.vit, pixels), width="stretch", alt=text.replace("`", ""))
    st.caption(text)


def value(session: Session, chosen: Measured, asked: Asked) -> float:
    """What the class is worth there: between two points of a quick curve the model runs again."""
    rec, results = session.rec, session.results
    point = (chosen.method, asked.target, asked.change, asked.share)
    found: float | None = results.find(point, "value")
    if found is None:
        with turn():
            maps = (
                maps_of(rec, chosen.method, asked.target)
                if chosen.method == BASELINE
                else [chosen.heat]
            )
            values = [value_at(rec, heat, asked.share, asked.change, asked.target) for heat in maps]
        found = results.keep(point, sum(values) / len(values), "value", MOST_KEPT)
    return found
