"""A label's loss, and how it pulls at each logit."""

from __future__ import annotations

import math

import altair as alt
import pandas as pd
import streamlit as st
from torch import Tensor

from vitviz.methods.explain import explain
from vitviz.pictures.overlay import overlay
from vitviz.training.pretraining import label_gradient
from vitviz.ui.course.widgets import captioned, choose_class
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.session import Session

SHOWN = 5  # classes


def supervised(session: Session) -> None:
    """The loss of a label, and how it pulls at each logit."""
    rec = session.rec
    index = choose_class(session)
    pull = label_gradient(rec.logits, index)
    best = [p for p in rec.predictions[: SHOWN + 1] if p.index != index][: SHOWN - 1]
    shown = [next(p for p in rec.predictions if p.index == index), *best]
    photo, numbers = st.columns(2)
    with photo:
        last = rec.num_layers - 1
        heat = explain(rec, "attention", layer=last).scaled(session.factor)
        captioned(overlay(session.preview, heat), t("pretraining.supervised.attention", layer=last))
    with numbers:
        probability = shown[0].value
        st.metric(t("pretraining.loss"), f"{-math.log(max(probability, 1e-30)):.4f}")
        _logit_gradients([label(p.label) for p in shown], pull[[p.index for p in shown]])


def _logit_gradients(names: list[str], values: Tensor) -> None:
    """How strongly the label pulls at some classes' logits, and which way."""
    table = pd.DataFrame({"name": names, "value": values.tolist()})
    bars = alt.Chart(table).mark_bar()
    draw_chart(
        bars.encode(
            x=alt.X("value", title=t("pretraining.supervised.pull"), axis=alt.Axis(tickCount=4)),
            y=alt.Y("name", title=None, sort=None),
            tooltip=[
                alt.Tooltip("name", title=t("ask.class")),
                alt.Tooltip("value", title=t("pretraining.supervised.pull"), format=".4f"),
            ],
        ),
        height=300,
    )
