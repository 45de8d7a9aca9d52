"""The same photo as a larger input."""

from __future__ import annotations

import streamlit as st

from vitviz.interventions.squares import record_square
from vitviz.ui.course.widgets import result, run_once
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

SIDES = (224, 336, 448)


def resolution(session: Session) -> None:
    """The same photo as a larger input."""
    side = st.select_slider(t("pretraining.resolution.side"), SIDES, 448, key=keys.LARGER, bind=URL)
    rec, preview = session.rec, session.preview
    larger = run_once(session.own, "larger", side, lambda: record_square(rec.vit, preview, side), 2)
    for column, found in zip(st.columns(2), (rec, larger), strict=True):
        with column:
            at = found.pixels.shape[-1]
            result(found, t("pretraining.resolution.caption", side=at, tokens=found.num_tokens))
