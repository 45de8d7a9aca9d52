"""Many heads look at once."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch
from numpy.typing import NDArray

from vitviz.heatmap import Heatmap
from vitviz.inside.attention_steps import regrouped
from vitviz.inside.cost import attention_width
from vitviz.inside.head_outputs import head_outputs
from vitviz.inside.heads import HeadStatistics, ablate, head_statistics, uniform_distance
from vitviz.methods.attention import head_maps
from vitviz.methods.explain import explain
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    UPRIGHT,
    baseline,
    chosen_patch,
    follow_layer,
    followed,
    layer_and_head,
    pick_patch,
    run_once,
)
from vitviz.ui.pages.tools import tools
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.parts.map_sheet import Panel, map_sheet
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import LANG, label, t
from vitviz.ui.visit.session import Look, Session

LOOK = Look("inferno", 0.6, True)
SHOWN = 12  # maps of a regrouped layer
SAME = ("sample", LANG)  # on the page that is linked to


def look(session: Session) -> None:
    """Every head of a layer from the chosen patch."""
    layer = follow_layer(session)
    photo, sheet = st.columns([1, 3])
    with photo:
        patch = pick_patch(session)
    maps = head_maps(session.rec, layer, patch)
    with sheet:
        _sheet(session, [(layer, head) for head in maps if head is not None], patch, "heads")


def local(session: Session) -> None:
    """How far each head looks, and the two extremes."""
    alike = uniform_distance(session.rec)
    _extremes(session, "distance", alike)
    st.caption(t("manyheads.local.caption", alike=f"{alike:.0f}"))


def entropy(session: Session) -> None:
    """How widely each head spreads its attention, and the two extremes."""
    alike = math.log(session.rec.num_tokens)
    _extremes(session, "entropy", alike)
    st.caption(t("manyheads.entropy.caption", alike=f"{alike:.2f}"))


def join(session: Session) -> None:
    """How much each head adds to the chosen token, and that it all adds up."""
    layer = follow_layer(session)
    photo, chart = st.columns(2)
    with photo:
        patch = pick_patch(session)
    found = head_outputs(session.rec, layer, patch)
    lengths = found.parts.norm(dim=-1).tolist()
    table = pd.DataFrame({"head": range(len(lengths)), "length": lengths})
    with chart:
        bars = alt.Chart(table).mark_bar()
        draw_chart(
            bars.encode(
                x=alt.X("head:O", title=t("lesson.head"), axis=UPRIGHT),
                y=alt.Y("length", title=t("manyheads.join.length")),
                tooltip=[
                    alt.Tooltip("head", title=t("lesson.head")),
                    alt.Tooltip("length", title=t("manyheads.join.length"), format=".3f"),
                ],
            ),
            height=220,
        )
    terms = [f"{part[0]:+.4f}" for part in found.parts]
    rows = ["".join(terms[start : start + 4]) for start in range(0, len(terms), 4)]
    rows[-1] += rf"{found.bias[0]:+.4f} = {found.total[0]:.4f}"
    lines = r" \\ & ".join(rows)
    st.latex(rf"\begin{{aligned}}& {lines}\end{{aligned}}")
    st.caption(t("manyheads.join.caption"))


def off(session: Session) -> None:
    """The prediction without one head, by the real model."""
    layer, head = layer_and_head(session)
    ablated = run_once(
        session.own,
        "one head off",
        (layer, head),
        lambda: ablate(session.rec, [(layer, head)]),
    )
    left, right = st.columns(2)
    with left:
        st.markdown(t("manyheads.off.all"))
        prediction_bars(session.rec.predictions[:5])
    with right:
        st.markdown(t("manyheads.off.without", layer=layer, head=head))
        prediction_bars(ablated[:5])
        answer = session.rec.predictions[0]
        after = next(p.value for p in ablated if p.index == answer.index)
        points = f"{100 * (after - answer.value):+.1f}"
        st.caption(t("manyheads.off.change", label=label(answer.label), points=points))


def count(session: Session) -> None:
    """The same width in fewer or more heads."""
    width = attention_width(session.rec)
    tokens = session.rec.num_tokens
    offered = [heads for heads in range(1, width + 1) if width % heads == 0 and heads <= 48]
    heads = st.select_slider(
        t("manyheads.count.heads"), offered, session.rec.num_heads(0), key=keys.HEADS_OF_WIDTH
    )
    first, second, third = st.columns(3)
    first.metric(t("manyheads.count.dimension"), width // heads)
    second.metric(t("manyheads.count.maps"), heads)
    third.metric(t("manyheads.count.entries"), f"{heads * tokens**2:,}")
    st.caption(
        t(
            "manyheads.count.same",
            weights=f"{4 * width**2:,}",
            products=f"{2 * tokens**2 * width:,}",
        )
    )
    layer, _ = followed(session)
    patch = chosen_patch(session)
    panels = []
    for head, weights in enumerate(regrouped(session.rec, layer, heads, patch)[:SHOWN]):
        values = session.rec.patches(weights).numpy()
        heat = Heatmap(values, session.rec.box, "attention")
        name = t("manyheads.count.map", head=head)
        panels.append(Panel(str(head), name, name, heat, False))
    _maps(session, panels, "regrouped", 0)
    st.caption(t("manyheads.count.caption", row=patch[0], col=patch[1], layer=layer))


def task(session: Session) -> None:
    """Which head gives the class token's attention most to the chosen patch."""
    patch = pick_patch(session)
    rows = torch.stack(
        [
            session.rec.patches(session.rec.attention_row(layer))[:, patch[0], patch[1]]
            for layer in range(session.rec.num_layers)
        ]
    )
    layer, head = divmod(int(rows.argmax()), rows.shape[1])
    share = f"{rows[layer, head]:.1%}"
    st.markdown(t("manyheads.task", layer=layer, head=head, share=share))
    shown = {keys.ATTENTION_LAYER: str(layer), keys.ATTENTION_HEAD: str(head)}
    same = {name: value for name in SAME if (value := st.query_params.get(name))}
    st.page_link(
        tools()["explore"],
        label=t("manyheads.open", layer=layer, head=head),
        query_params={**same, **shown},
    )


def _extremes(session: Session, name: str, alike: float) -> None:
    """A number of every head as a chart, with what a head that looks at all alike has, and the maps
    of the lowest and the highest."""
    rec = session.rec
    found: HeadStatistics = run_once(session.results, "heads", None, lambda: head_statistics(rec))
    values: NDArray[np.float32] = getattr(found, name)
    table = pd.DataFrame(
        {"layer": at, "head": of, "value": float(values[at, of])}
        for at, of in np.ndindex(values.shape)
        if not np.isnan(values[at, of])
    )
    lowest = divmod(int(np.nanargmin(values)), values.shape[1])
    highest = divmod(int(np.nanargmax(values)), values.shape[1])
    chosen = [alt.datum.value == float(values[head]) for head in (lowest, highest)]
    points = alt.Chart(table).mark_circle(size=70, opacity=0.7)
    draw_chart(
        points.encode(
            x=alt.X("layer:O", title=t("lesson.layer"), axis=UPRIGHT),
            y=alt.Y("value", title=t(f"manyheads.{name}_axis")),
            tooltip=[
                alt.Tooltip("layer", title=t("lesson.layer")),
                alt.Tooltip("head", title=t("lesson.head")),
                alt.Tooltip("value", title=t(f"manyheads.{name}_axis"), format=".2f"),
            ],
            size=alt.when(chosen[0] | chosen[1]).then(alt.value(220)).otherwise(alt.value(70)),
        )
        + baseline(alike),
        height=200,
    )
    photo, sheet = st.columns([1, 2])
    with photo:
        patch = pick_patch(session)
    with sheet:
        _sheet(session, [lowest, highest], patch, name)


def _sheet(
    session: Session, heads: list[tuple[int, int]], patch: tuple[int, int], name: str
) -> None:
    """Maps of these heads from the patch."""
    panels = []
    for layer, head in heads:
        title = t("heads.name", layer=layer, head=head)
        heat = explain(session.rec, "attention", patch, layer=layer, head=head)
        panels.append(Panel(f"{layer},{head}", title, title, heat, False))
    _maps(session, panels, name, min(len(panels), 3))


def _maps(session: Session, panels: list[Panel], name: str, columns: int) -> None:
    """Small maps, each in its own colours."""
    map_sheet(
        session,
        panels,
        LOOK,
        columns=columns,
        scale=None,
        alt=t("manyheads.sheet"),
        key=keys.LESSON_MAPS.format(name),
        on_open=lambda: None,
    )


LESSON = Lesson(
    "manyheads",
    (
        Step("look", look),
        Step("local", local, guess=True),
        Step("entropy", entropy, formula=r"H = -\sum_j a_j \ln\, a_j"),
        Step("join", join, formula=r"\sum_{i=0}^{h-1} W^{(i)} o^{(i)} + b"),
        Step("off", off, guess=True),
        Step("count", count),
    ),
    task,
    {
        "Vaswani et al. 2017: Attention is all you need": "https://arxiv.org/abs/1706.03762",
        "Michel et al. 2019: Are sixteen heads really better than one?": "https://arxiv.org/abs/1905.10650",
        "Raghu et al. 2021: Do Vision Transformers see like CNNs?": "https://arxiv.org/abs/2108.08810",
    },
)
