"""A small DINO: what keeps its answers from becoming all the same."""

from __future__ import annotations

import math

import altair as alt
import pandas as pd
import streamlit as st
import torch
from PIL import Image
from torch import Tensor

from vitviz.training.pretraining import DIRECTIONS, Distilled, global_and_local, self_distillation
from vitviz.training.trained_part import features
from vitviz.ui.course.gallery import gallery_photos, gallery_titles
from vitviz.ui.course.widgets import UPRIGHT, for_all, run_once
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.turns import turn
from vitviz.zoo.load import bundled_models

MOST = 100  # steps of the small DINO
VIEWS, VIEW = 0, 110  # which views are drawn, and the width of one in px


def dino(session: Session) -> None:
    """A small DINO on the gallery: what keeps its answers from becoming all the same."""
    steps, centring, sharpening = st.columns([2, 1, 1], vertical_alignment="bottom")
    with steps:
        step = st.slider(t("captions.learn.steps"), 0, MOST, MOST, key=keys.DINO_STEPS, bind=URL)
    with centring:
        centred = st.toggle(t("pretraining.dino.centred"), True, key=keys.CENTRED, bind=URL)
    with sharpening:
        sharp = st.toggle(t("pretraining.dino.sharp"), True, key=keys.SHARP, bind=URL)
    large, small = _gallery_features(bundled_models()[0])
    trained = run_once(
        for_all(),
        "dino",
        (centred, sharp),
        lambda: self_distillation(large, small, centred=centred, sharp=sharp, steps=MOST),
        4,
    )
    found = trained[step]
    views, chart = st.columns([1, 4])
    with views, st.container(horizontal=True):  # one below the other, on a phone side by side
        large_and_small = global_and_local(session.preview, VIEWS)
        for key, view in zip(("teacher", "student"), large_and_small, strict=True):
            text = t(f"pretraining.dino.{key}")
            st.image(view.resize((VIEW, VIEW)), caption=text, alt=text)
    with chart:
        _teacher_probabilities(found)
    numbers = st.columns(3)
    numbers[0].metric(t("pretraining.loss"), f"{found.loss:.2f}")
    most = f"{math.log(DIRECTIONS):.2f}"
    numbers[1].metric(t("pretraining.dino.entropy", most=most), f"{found.entropy:.2f}")
    numbers[2].metric(t("pretraining.dino.used", photos=len(large)), str(found.used))


@st.cache_data(show_spinner=False)
def _gallery_features(model_name: str) -> tuple[Tensor, Tensor]:
    """Features of a large and a small view of each sample, (photos, width)."""
    vit = model(model_name)
    views = (global_and_local(photo, VIEWS) for photo in gallery_photos())
    large, small = zip(*views, strict=True)

    def seen(views: tuple[Image.Image, ...]) -> Tensor:
        with turn():
            return features(vit, torch.stack([vit.transform(view) for view in views]))

    return seen(large), seen(small)


def _teacher_probabilities(found: Distilled) -> None:
    """The teacher's probabilities: a row for each photo, a column for each direction."""
    table = pd.DataFrame(
        {"photo": title, "direction": number, "probability": share}
        for title, row in zip(gallery_titles(), found.teacher.tolist(), strict=True)
        for number, share in enumerate(row)
    )
    cells = alt.Chart(table).mark_rect()
    draw_chart(
        cells.encode(
            x=alt.X("direction:O", title=t("pretraining.dino.direction"), axis=UPRIGHT),
            y=alt.Y("photo:N", title=t("pretraining.dino.photo"), sort=None),
            color=alt.Color(
                "probability",
                title=t("compare.probability"),
                scale=alt.Scale(domain=[0, 1], scheme="inferno"),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("photo", title=t("pretraining.dino.photo")),
                alt.Tooltip("direction", title=t("pretraining.dino.direction")),
                alt.Tooltip("probability", title=t("compare.probability"), format=".1%"),
            ],
        ),
        height=300,
    )
