"""What each head does, and what the model loses without it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from vitviz.errors import MethodError, VitvizError
from vitviz.inside.heads import (
    HeadStatistics,
    ablate,
    head_statistics,
    layer_importance,
    mean_statistics,
    uniform_distance,
)
from vitviz.methods.explain import explain
from vitviz.photos.load import load_image
from vitviz.progress import part_of
from vitviz.recording.predictions import Prediction
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.ui.controls.choice import choice
from vitviz.ui.controls.model_picker import is_here, page_head
from vitviz.ui.controls.photo_picker import choose_photo, sample_photos
from vitviz.ui.controls.question import cls_means, typical_head
from vitviz.ui.parts.head_matrix import Cell, matrix
from vitviz.ui.parts.map_sheet import Panel, map_sheet
from vitviz.ui.parts.notices import left_out
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import analyse, model
from vitviz.ui.visit.language import explained, label, t
from vitviz.ui.visit.markdown import as_code
from vitviz.ui.visit.session import Look, Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.turns import turn
from vitviz.ui.visit.work import Work
from vitviz.ui.visit.works import carried_out
from vitviz.zoo.catalogue import Offer

HERE, GALLERY = "here", "samples"
OPEN, SWITCH = "open", "switch"
IMPORTANCE = "importance"
STATISTICS = ("distance", "entropy", "to_prefix", "to_self")
PATTERNS = {"distance": "{:.0f}", "entropy": "{:.1f}", "to_prefix": "{:.0%}", "to_self": "{:.0%}"}
PATTERNS[IMPORTANCE] = "{:+.1f}"
Numbers = NDArray[np.float32]  # (layers, heads), NaN where there is no head or none is known yet


@dataclass(frozen=True)
class Asked:
    """Which number of the heads is shown, over what, and what a click on one does."""

    statistic: str
    over: str
    mode: str


def page() -> None:
    """The matrix of heads, the head that is open, and predictions without those switched off."""
    model = page_head(t("heads.title"))
    photo = choose_photo()
    if not is_here(model):
        return
    try:
        session = analyse(photo, model.name)
        left_out(session.rec)
        statistics(session, HERE)  # raises for a model that has none
        asked = matrix_controls(session.rec)
    except VitvizError as error:
        st.error(f"{as_code(photo.name)}: {explained(error)}", icon=":material/error:")
        return
    off = read_link(session.rec, "off")
    chosen = min(read_link(session.rec, "open"), default=typical_head(session.rec))
    left, right = st.columns([3, 2], gap="large")
    with left:
        bar, place = st.container(), st.empty()
        show_ablation(session, off)
        every = st.expander(t("heads.all_numbers"), icon=":material/table_rows:")
    with right:
        show_head(session, *chosen, photo.alt)
    try:  # last: what has to be measured grows while all else is there
        with bar:
            show_matrix(session, asked, off, chosen, place)
        with every:
            table(statistics(session, asked.over))
    except VitvizError as error:
        place.error(explained(error), icon=":material/error:")


def matrix_controls(rec: Recording) -> Asked:
    """Which number, over what, and what a click does."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = Asked(
            _choose(keys.STATISTIC, [*STATISTICS, IMPORTANCE]),
            _choose(keys.OVER, [HERE, GALLERY]),
            _choose(keys.MODE, [OPEN, SWITCH]),
        )
    of_scores = asked.statistic == IMPORTANCE and rec.outputs == "score"
    meaning = "importance_of_score" if of_scores else asked.statistic
    alike = f"{uniform_distance(rec):.0f}"
    st.caption(t(f"heads.meaning.{meaning}", alike=alike))
    return asked


def _choose(key: str, options: list[str]) -> str:
    chosen: str = choice(
        st.segmented_control,
        t(f"heads.{key}.label"),
        options,
        options[0],
        key,
        lambda option: t(f"heads.{key}.{option}"),
        required=True,
    )
    return chosen


def show_matrix(
    session: Session, asked: Asked, off: set[Cell], chosen: Cell, place: DeltaGenerator
) -> None:
    """The number of every head, as far as it is known."""
    of_scores = asked.statistic == IMPORTANCE and session.rec.outputs == "score"
    pattern = "{:+.3g}" if of_scores else PATTERNS[asked.statistic]
    drawn = count()

    def draw(values: Numbers, key: str) -> None:
        with place.container():
            matrix(session, values, pattern, off, chosen, key, lambda: take_click(key, asked.mode))

    def draw_so_far(values: Numbers) -> None:
        draw(values, keys.MATRIX_SO_FAR.format(next(drawn)))

    draw(numbers(session, asked, draw_so_far), keys.MATRIX)


def numbers(session: Session, asked: Asked, show: Callable[[Numbers], None]) -> Numbers:
    """The number of every head, (layers, heads); what is known of it meanwhile is shown."""
    if asked.statistic == IMPORTANCE:
        if asked.over == GALLERY:
            raise MethodError(
                "importance_of_samples", "Importance is measured on one photo; choose “This photo”."
            )
        factor = 1 if session.rec.outputs == "score" else 100
        return factor * importance(session, lambda drops: show(factor * drops))
    name = asked.statistic
    found: Numbers = getattr(
        statistics(session, asked.over, lambda found: show(getattr(found, name))), name
    )
    return found


def statistics(
    session: Session, over: str, show: Callable[[HeadStatistics], None] = lambda _: None
) -> HeadStatistics:
    """Of this photo, kept until it changes, or the mean of the samples."""
    derived = session.rec.derived
    if over == HERE:  # kept where lessons look for it, too
        here: HeadStatistics | None = session.results.find(None, "heads")
        if here is None:
            here = session.results.keep(None, head_statistics(session.rec), "heads")
        return here
    found: HeadStatistics | None = derived.find(None, GALLERY)
    if found is None:
        offered = session.model
        found = carried_out(
            "samples", offered, t("heads.looking"), lambda work: of_samples(offered, work), show
        )
        derived.keep(None, found, GALLERY)
    return found


@st.cache_data(show_spinner=False, max_entries=20)
def of_samples(offered: Offer, _work: Work[HeadStatistics]) -> HeadStatistics:
    """The mean of the samples; it tells that of those it has looked at."""
    vit = model(offered.name)
    photos = [load_image(photo.data) for _, photo in sample_photos().values()]
    found = []
    for photo in photos:
        found.append(head_statistics(record(vit, photo)))
        _work.tell(mean_statistics(found))
        _work.progress(len(found) / len(photos))
    return mean_statistics(found)


def importance(session: Session, show: Callable[[Numbers], None]) -> Numbers:
    """Measured once for a photo, layer after layer."""
    rec, results = session.rec, session.results

    def measure(work: Work[Numbers]) -> Numbers:
        most = max(rec.num_heads(layer) for layer in range(rec.num_layers))
        found = np.full((rec.num_layers, most), np.nan, np.float32)
        for layer in range(rec.num_layers):
            progress = part_of(work.progress, layer, 1, rec.num_layers)
            drops, _ = layer_importance(rec, layer, progress=progress)
            found[layer, : len(drops)] = drops
            work.tell(found.copy())
        return results.keep(None, found, IMPORTANCE)

    known: Numbers | None = results.find(None, IMPORTANCE)
    if known is not None:
        return known
    return carried_out(IMPORTANCE, results, t("heads.switching"), measure, show)


def take_click(key: str, mode: str) -> None:
    """Open a head, or switch it or its layer off or on."""
    layer, head = st.session_state[key].open.split(",")
    rec = visit().recorded["main"].rec
    off = read_link(rec, "off")
    if head != "all" and mode == OPEN:
        write_link("open", {(int(layer), int(head))})
    elif head == "all":
        whole = {(int(layer), of) for of in range(rec.num_heads(int(layer)))}
        write_link("off", off - whole if whole <= off else off | whole)
    else:
        write_link("off", off ^ {(int(layer), int(head))})


def read_link(rec: Recording, name: str) -> set[Cell]:
    """The heads that the address names, such as 4.2 and 11.0; what is no head is left out."""
    found = re.findall(r"(\d{1,4})\.(\d{1,4})", st.query_params.get(name, ""))
    heads = {(int(layer), int(head)) for layer, head in found}
    return {(at, of) for at, of in heads if at < rec.num_layers and of < rec.num_heads(at)}


def write_link(name: str, heads: set[Cell]) -> None:
    """The other way; without heads the address does not name them."""
    st.query_params[name] = "-".join(f"{layer}.{head}" for layer, head in sorted(heads))
    if not heads:
        del st.query_params[name]


def table(found: HeadStatistics) -> None:
    """Every head with all its numbers."""
    layers, heads = found.distance.shape
    rows = [
        {
            t("heads.layer"): layer,
            t("heads.head"): head,
            **{
                t(f"heads.statistic.{name}"): float(getattr(found, name)[layer, head])
                for name in STATISTICS
            },
        }
        for layer in range(layers)
        for head in range(heads)
    ]
    form = st.column_config.NumberColumn(format="%.3f")
    numbers = pd.DataFrame(rows)
    st.dataframe(
        numbers,
        hide_index=True,
        column_config=dict.fromkeys(numbers.columns[2:], form),
        alt=t("heads.all_numbers"),
    )


def show_head(session: Session, layer: int, head: int, alt_text: str) -> None:
    """Where the open head looks from the class token."""
    name = t("heads.name", layer=layer, head=head)
    st.subheader(name, anchor=False)
    heat = explain(session.rec, "attention", layer=layer, head=head)
    title = t("meant.from", token=cls_means(session.rec))
    map_sheet(
        session,
        [Panel("open", title, t("heads.open_alt", name=name, photo=alt_text), heat, False)],
        Look("inferno", 0.6, True),
        columns=1,
        scale=None,
        alt=name,
        key=keys.OPEN_MAP,
        on_open=lambda: None,
    )


def show_ablation(session: Session, off: set[Cell]) -> None:
    """The predictions as they are, and without the heads that are switched off."""
    st.subheader(t("heads.without"), anchor=False)
    if not session.rec.predictions:
        st.info(t("heads.no_classifier"))
        return
    if not off:
        st.caption(t("heads.how_to_switch"))
        return

    def predict() -> list[Prediction]:
        with turn():
            return ablate(session.rec, off)

    left = session.rec.derived.get(frozenset(off), predict, "without", most=1)
    before = {p.index: p.value for p in session.rec.predictions}
    shown = {p.index for p in (*session.rec.predictions[:4], *left[:4])}
    name, now, earlier = (t(f"heads.{key}") for key in ("class", "now", "before"))
    rows = [
        {name: label(p.label), now: p.value, earlier: before[p.index]}
        for p in left
        if p.index in shown
    ]
    bar = (
        st.column_config.NumberColumn(format="%.4g")
        if session.rec.outputs == "score"
        else st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent")
    )
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={now: bar, earlier: bar},
        alt=t("heads.without_alt"),
    )
    st.button(
        t("heads.on_again", count=len(off)),
        icon=":material/undo:",
        on_click=lambda: write_link("off", set()),
    )
