"""Positions as turns of queries and keys."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from vitviz.inside.rotary import rotary_score, rotated
from vitviz.ui.course.widgets import followed_steps
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

PLACES, FURTHER = 15, 5  # the last place of a row of patches, and a step to the right
CHART = 345  # px
FEW = alt.Axis(tickCount=6)


def rope(session: Session) -> None:
    """A query and a key turned by their places, and their score."""
    steps = followed_steps(session)
    query, key = steps.query, steps.keys[int(steps.scores.argmax())]
    first, second = st.columns(2)
    m = first.slider(t("outlook.rope.query"), 0, PLACES, 3, key=keys.ROPE_QUERY, bind=URL)
    n = second.slider(t("outlook.rope.key"), 0, PLACES, 5, key=keys.ROPE_KEY, bind=URL)
    plane, curve = st.columns([2, 3])
    with plane:
        _turned_vectors(query, key, m, n)
    with curve:
        _scores_by_distance(query, key, n - m)
    here, further = (rotary_score(query, key, m + step, n + step) for step in (0, FURTHER))
    scores = rf"z({m},{n}) = {here:.4f},\quad z({m + FURTHER},{n + FURTHER}) = {further:.4f}"
    st.latex(scores)


def _turned_vectors(query: Tensor, key: Tensor, m: int, n: int) -> None:
    """The first pair of numbers of both, before and after they are turned."""
    turned = {
        "q": (query, 0),
        t("outlook.rope.turned", vector="q", place=m): (query, m),
        "k": (key, 0),
        t("outlook.rope.turned", vector="k", place=n): (key, n),
    }
    ends = {
        name: rotated(vector, torch.tensor(place))[:2].tolist()
        for name, (vector, place) in turned.items()
    }
    rows = [(name, *point) for name, end in ends.items() for point in ((0.0, 0.0), end)]
    table = pd.DataFrame(rows, columns=["what", "x", "y"])
    most = 1.1 * float(table[["x", "y"]].abs().to_numpy().max())
    across, up = (  # as long across as up, or a turn would seem to change lengths
        alt.Scale(domainMin=alt.expr(f"-{end}"), domainMax=alt.expr(end), nice=False)
        for end in (f"{most} * max(1, {sides})" for sides in ("width / height", "height / width"))
    )
    lines = alt.Chart(table).mark_line(strokeWidth=4)
    draw_chart(
        lines.encode(
            x=alt.X("x", title=t("outlook.rope.first"), scale=across, axis=FEW),
            y=alt.Y("y", title=t("outlook.rope.second"), scale=up, axis=FEW),
            **lines_by(
                "what",
                list(ends),
                title=None,
                legend=alt.Legend(orient="bottom", columns=2),
            ),
            tooltip=[
                alt.Tooltip("what", title=t("lesson.part")),
                alt.Tooltip("x", title=t("outlook.rope.first"), format=".3f"),
                alt.Tooltip("y", title=t("outlook.rope.second"), format=".3f"),
            ],
        ),
        height=CHART,
    )


def _scores_by_distance(query: Tensor, key: Tensor, chosen: int) -> None:
    """The score against n − m, from two places of the query: the rings lie on the line; and the
    chosen distance."""
    distances = range(-PLACES, PLACES + 1)
    rows = [(d, rotary_score(query, key, at, at + d), at) for at in (0, FURTHER) for d in distances]
    table = pd.DataFrame(rows, columns=["distance", "score", "at"])
    x = alt.X(
        "distance",
        title=t("outlook.rope.distance"),
        scale=alt.Scale(domain=[-PLACES, PLACES], nice=False),
    )
    y = alt.Y("score", title=t("outlook.rope.score"), scale=alt.Scale(zero=False))
    tooltip = [
        alt.Tooltip("distance", title=t("outlook.rope.distance")),
        alt.Tooltip("score", title=t("outlook.rope.score"), format=".4f"),
    ]
    first, further = (table[table["at"] == at] for at in (0, FURTHER))
    here = first[first["distance"] == chosen]
    names = [t(f"outlook.rope.{name}") for name in ("here", "further", "chosen")]
    line, rings, dot = (
        alt.Chart(rows.assign(what=name))
        for name, rows in zip(names, (first, further, here), strict=True)
    )
    layers = line.mark_line(), rings.mark_point(size=60), dot.mark_point(size=150, filled=True)
    legend = alt.Legend(orient="bottom", columns=1)
    colour = alt.Color("what", title=None, scale=alt.Scale(domain=names), legend=legend)
    line, rings, dot = (layer.encode(x=x, y=y, color=colour, tooltip=tooltip) for layer in layers)
    draw_chart(line + rings + dot, height=CHART)
