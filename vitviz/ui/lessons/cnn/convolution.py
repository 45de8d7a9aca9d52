"""One filter of the first convolution, slid over the photo."""

from __future__ import annotations

import streamlit as st
from PIL import Image
from torch import Tensor

from vitviz.inside.convolution import filter_answers
from vitviz.pictures.input import input_picture
from vitviz.ui.course.widgets import captioned, colours
from vitviz.ui.lessons.cnn.counterpart import cnn_input
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session
from vitviz.zoo.catalogue import COUNTERPART

FILTER_CELL = 30  # px a number of a filter
FIRST = 4  # filter: one of edges
FAINT = 1e-3  # the least scale of colours: some filters were never used, and are 0


def slide(session: Session) -> None:
    """One filter of the first convolution, and what it answers at every place."""
    pixels, _ = cnn_input(session)
    weights, answers = filter_answers(model(COUNTERPART), pixels)
    last = len(weights) - 1
    choice, kernel = st.columns([7, 1], vertical_alignment="center")
    number = choice.slider(t("cnn.slide.filter"), 0, last, FIRST, key=keys.FILTER, bind=URL)
    picture = _filter_picture(weights[number])
    kernel.image(picture, alt=t("cnn.slide.weights"))
    photo, answer = st.columns(2)
    with photo:
        captioned(input_picture(model(COUNTERPART), pixels), t("cnn.slide.photo"))
    with answer:
        found = answers[number]
        picture = colours(found.numpy(), max(float(found.abs().quantile(0.99)), FAINT), 2)
        captioned(picture, t("cnn.slide.answer"))
    left, right = st.columns(2)
    left.metric(t("cnn.slide.count", count=len(weights)), f"{weights.numel():,}")
    cut = session.rec.vit.anatomy.patch_projection
    if cut is not None:
        right.metric(t("cnn.slide.patches"), f"{cut.weight.numel():,}")


def _filter_picture(weights: Tensor) -> Image.Image:
    """A filter's numbers as colours, (3, kernel, kernel) → picture: grey is zero."""
    shown = 127.5 * (1 + weights / weights.abs().max())
    picture = Image.fromarray(shown.permute(1, 2, 0).round().byte().numpy())
    size = FILTER_CELL * weights.shape[-1]
    return picture.resize((size, size), Image.Resampling.NEAREST)
