"""Predictions as bars."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from vitviz.recording.predictions import Prediction
from vitviz.ui.visit.language import label


def prediction_bars(predictions: Sequence[Prediction]) -> None:
    """Each class with its probability as a bar."""
    rows = "".join(
        f'<li><span>{html.escape(label(p.label))}</span><i style="width:{p.probability:.1%}"></i>'
        f"<b>{p.probability:.1%}</b></li>"
        for p in predictions
    )
    st.html(f'<ol class="predictions">{rows}</ol>')
