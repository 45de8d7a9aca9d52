"""What is chosen before a training: the trained blocks, the views, the learning rates, the head."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch

from vitviz.training.augmentation import augmentation
from vitviz.training.plan import Plan, learning_rates
from vitviz.training.trained_part import SeededDropout, features, trainable_parameters
from vitviz.training.training import start
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.training_run import HEAD_PLAN
from vitviz.ui.course.widgets import UPRIGHT, run_once
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.visit import keys
from vitviz.ui.visit.album import MOST_CLASSES
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit

VIEWS, VIEW = 6, 210  # random views, and the width of one in px


def freezing(session: Session) -> None:
    """How much of the model is trained."""
    vit = session.rec.vit
    last = session.rec.num_layers
    classes = st.slider(t("training.classes"), 2, MOST_CLASSES, 3, key=keys.CLASSES, bind=URL)
    blocks = st.slider(t("training.freezing.blocks"), 0, last, 0, key=keys.BLOCKS, bind=URL)
    counts = [trainable_parameters(vit, classes, k) for k in range(last + 1)]
    every = trainable_parameters(vit, classes, None)
    first, second = st.columns(2)
    first.metric(t("training.freezing.trained"), f"{counts[blocks]:,}")
    second.metric(t("training.freezing.share"), f"{counts[blocks] / every:.3%}")
    table = pd.DataFrame({"blocks": range(last + 1), "millions": np.array(counts) / 1e6})
    draw_chart(
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("blocks:O", title=t("training.freezing.blocks"), axis=UPRIGHT),
            y=alt.Y("millions", title=t("training.freezing.millions")),
            opacity=alt.condition(alt.datum.blocks == blocks, alt.value(1), alt.value(0.65)),
            tooltip=[
                alt.Tooltip("blocks", title=t("training.freezing.blocks")),
                alt.Tooltip("millions", title=t("training.freezing.millions"), format=".3f"),
            ],
        ),
        height=215,
    )
    st.caption(t("training.freezing.all", every=f"{every:,}"))


def augment(session: Session) -> None:
    """Random views of this photo."""
    kinds = ("crop", "flip", "colour")
    options, again = st.columns([3, 2], vertical_alignment="bottom")
    chosen: list[str] = choice(
        options.segmented_control,
        t("training.augment.kinds"),
        kinds,
        list(kinds),
        keys.VIEW_KINDS,
        lambda kind: t(f"training.augment.{kind}"),
        selection_mode="multi",
    )
    again.button(
        t("training.augment.again"),
        icon=":material/casino:",
        key=keys.AGAIN,
        on_click=_draw_again,
    )
    view = augmentation(session.rec.pixels.shape[-2:], **{k: k in chosen for k in kinds})
    pictures = session.rec.derived.get(
        (*chosen, visit().views),
        lambda: [view(session.small) for _ in range(VIEWS)],
        "views",
        most=1,
    )
    with st.container(horizontal=True, gap="small", key="views"):
        for number, picture in enumerate(pictures):
            st.image(picture, alt=t("training.augment.alt", number=number + 1), width=VIEW)


def _draw_again() -> None:
    visit().views += 1


def warm_up(session: Session) -> None:
    """The learning rate of every step."""
    del session
    steps, warmup = st.columns(2)
    count = steps.slider(t("training.steps"), 10, 100, HEAD_PLAN.steps, 5, key=keys.STEPS, bind=URL)
    rising = warmup.slider(t("training.warm_up.rising"), 0, 9, 5, key=keys.WARM_UP, bind=URL)
    rates = learning_rates(HEAD_PLAN.rate, count, rising)
    table = pd.DataFrame({"step": range(1, count + 1), "rate": rates})
    draw_chart(
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("step", title=t("training.step")),
            y=alt.Y("rate", title=t("training.warm_up.rate"), axis=alt.Axis(format="~g")),
            tooltip=[
                alt.Tooltip("step", title=t("training.step")),
                alt.Tooltip("rate", title=t("training.warm_up.rate"), format=".6f"),
            ],
        ),
        height=300,
    )
    first, second = st.columns(2)
    first.metric(t("training.warm_up.first"), f"{rates[0]:.6f}")
    second.metric(t("training.warm_up.last"), f"{rates[-1]:.6f}")


def beginning(session: Session) -> None:
    """A new head's first probabilities for this photo, and what dropout changes."""
    classes = st.slider(t("training.classes"), 2, MOST_CLASSES, 3, key=keys.CLASSES, bind=URL)
    kind: str = choice(
        st.segmented_control,
        t("training.beginning.head"),
        ("zero", "random"),
        "zero",
        keys.HEAD_KIND,
        lambda kind: t(f"training.beginning.{kind}"),
        required=True,
    )
    dropout = st.slider(
        t("training.beginning.dropout"), 0.0, 0.9, 0.0, 0.1, key=keys.DROPOUT, bind=URL
    )
    rec = session.rec
    given = run_once(
        session.own, "given to a head", None, lambda: features(rec.vit, rec.pixels[None])
    )
    found = SeededDropout(dropout, 0).train()(given)
    labels = [t("training.run.unnamed", number=number + 1) for number in range(classes)]
    plan = Plan(zero_head=kind == "zero")
    _, training = start(rec.vit, labels, found, torch.zeros(1, dtype=torch.long), plan)
    with torch.no_grad():
        probabilities = training.part(found)[0].softmax(dim=-1)
    first, second = st.columns(2)
    first.metric(t("training.beginning.loss"), f"{-math.log(probabilities[0]):.4f}")
    second.metric(t("training.beginning.off"), f"{int((found == 0).sum())} / {found.numel()}")
    _bars(labels, probabilities.tolist())


def _bars(names: list[str], shares: list[float]) -> None:
    table = pd.DataFrame({"name": names, "share": shares})
    draw_chart(
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X(
                "share",
                title=t("training.beginning.probability"),
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%", labelFlush=True),
            ),
            y=alt.Y("name", title=None),
            tooltip=[
                alt.Tooltip("name", title=t("training.run.class")),
                alt.Tooltip("share", title=t("training.beginning.probability"), format=".1%"),
            ],
        ),
        height=180,
    )
