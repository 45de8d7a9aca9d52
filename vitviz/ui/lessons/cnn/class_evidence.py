"""Both networks' classes, and which places speak for one of them."""

from __future__ import annotations

import streamlit as st

from vitviz.heatmap import Heatmap
from vitviz.methods.cnn_gradcam import cnn_gradcam
from vitviz.methods.explain import explain
from vitviz.pictures.overlay import overlay
from vitviz.recording.predictions import Prediction, predict
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.widgets import captioned
from vitviz.ui.lessons.cnn.counterpart import ANSWERS, NETWORKS
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.turns import turn
from vitviz.zoo.catalogue import COUNTERPART


def both(session: Session) -> None:
    """Both networks' answers, and what speaks for one class in each."""
    answers = _predictions(session)
    offered = dict.fromkeys(p.label for found in answers for p in found[:ANSWERS])
    first = answers[0][0].label
    name = choice(st.selectbox, t("ask.class"), list(offered), first, keys.LESSON_CLASS, label)
    maps = _evidence(session, name)
    for column, key, heat, found in zip(st.columns(2), NETWORKS, maps, answers, strict=True):
        with column:
            picture = overlay(session.preview, heat.scaled(session.factor))
            captioned(picture, t(f"cnn.both.{key}", label=label(name)))
            prediction_bars(found[:ANSWERS])


def _predictions(session: Session) -> tuple[list[Prediction], list[Prediction]]:
    """What both say of the photo, each through its own transform."""

    def look() -> list[Prediction]:
        cnn, photo = model(COUNTERPART), opened(session.photo)
        with turn():
            return predict(cnn, photo)

    return session.rec.predictions, session.rec.derived.get(None, look, "cnn answers", most=1)


def _evidence(session: Session, name: str) -> tuple[Heatmap, Heatmap]:
    """What speaks for a class: relevance in the ViT, Grad-CAM in the CNN."""

    def look() -> tuple[Heatmap, Heatmap]:
        cnn, photo = model(COUNTERPART), opened(session.photo)
        with turn():
            return explain(session.rec, "relevance", target=name), cnn_gradcam(cnn, photo, name)

    found: tuple[Heatmap, Heatmap] = session.rec.derived.get(name, look, "cnn maps", most=ANSWERS)
    return found
