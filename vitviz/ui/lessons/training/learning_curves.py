"""How a training went: its loss, accuracy or entropy at every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from vitviz.training.training import Moment
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.visit.language import t


def drawn_into(chart: Any) -> Callable[[list[Moment]], None]:
    """What draws the curves of a training under way in this place."""

    def draw(moments: list[Moment]) -> None:
        with chart.container():
            loss_and_accuracy(moments)

    return draw


def loss_and_accuracy(moments: Sequence[Moment]) -> None:
    """Loss and accuracy of every step, side by side."""
    left, right = st.columns(2)
    with left:
        curve(moments, "loss", t("training.loss"), 170)
    with right:
        curve(moments, "accuracy", t("training.run.accuracy"), 170)


def curve(moments: Sequence[Moment], what: str, title: str, height: int) -> None:
    """One attribute of the moments at every step, under its title."""
    table = pd.DataFrame(
        {"step": [m.step + 1 for m in moments], what: [getattr(m, what) for m in moments]}
    )
    draw_chart(
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("step", title=t("training.step")),
            y=alt.Y(what, title=title, scale=alt.Scale(zero=what != "entropy")),
            tooltip=[
                alt.Tooltip("step", title=t("training.step")),
                alt.Tooltip(what, title=title, format=".4f"),
            ],
        ),
        height=height,
    )
