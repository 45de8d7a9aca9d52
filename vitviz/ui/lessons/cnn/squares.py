"""Both networks on the same square of the photo, as it is and changed."""

from __future__ import annotations

from collections.abc import Hashable

import streamlit as st
from PIL import Image
from torch import Tensor

from vitviz.inside.accuracies import CHANGED, CHANGED_PHOTOS
from vitviz.interventions.squares import SIDE, cut_square, predict_square, wide_square
from vitviz.recording.predictions import Prediction
from vitviz.ui.course.widgets import captioned, run_once
from vitviz.ui.lessons.cnn.counterpart import ANSWERS, NETWORKS
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.session import Session
from vitviz.zoo.catalogue import COUNTERPART

KEPT = 8  # changed squares with a photo


def square_of(session: Session, right: int = 0) -> Tensor:
    """The square in the middle of the photo, or so many pixels to its right."""
    return cut_square(wide_square(session.preview), right)


def compare_predictions(session: Session, asked: Hashable, square: Tensor) -> None:
    """A changed square, both networks' answers, and whether each is the one that it gave before."""
    now = _predict_both(session, asked, square)
    picture, answers = st.columns([4, 5])
    with picture:
        pixels = (255 * square).round().byte().permute(1, 2, 0).numpy()
        captioned(Image.fromarray(pixels), t("cnn.square", side=SIDE))
    before = predict_unchanged(session)
    with answers:
        for key, old, found in zip(NETWORKS, before, now, strict=True):
            st.markdown(f"**{t(f'cnn.{key}')}**")
            prediction_bars(found[:ANSWERS])
            first = old[0]
            kept = "kept" if found[0].index == first.index else "lost"
            left = next(p.value for p in found if p.index == first.index)
            shares = {"before": f"{first.value:.1%}", "now": f"{left:.1%}"}
            st.caption(t(f"cnn.{kept}", label=label(first.label), **shares))


def measured_shares(change: str) -> None:
    """How often each network kept its answer under such a change."""
    found = CHANGED[change]
    values = {key: f"{getattr(found, key):.0f}%" for key in NETWORKS}
    st.caption(t(f"cnn.measured.{change}", photos=CHANGED_PHOTOS, **values))


def _predict_both(session: Session, asked: Hashable, square: Tensor) -> list[list[Prediction]]:
    """What both networks say of a square."""
    networks = session.rec.vit, model(COUNTERPART)
    return run_once(
        session.own,
        "squares",
        asked,
        lambda: [predict_square(vit, square) for vit in networks],
        KEPT,
    )


def predict_unchanged(session: Session) -> list[list[Prediction]]:
    """What both networks say of the square as it is."""
    networks, square = (session.rec.vit, model(COUNTERPART)), square_of(session)
    return run_once(
        session.results, "square", None, lambda: [predict_square(vit, square) for vit in networks]
    )
