"""Predictions as bars."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from vitviz.models.outputs import written
from vitviz.recording.predictions import Prediction
from vitviz.ui.visit.language import label


def prediction_bars(predictions: Sequence[Prediction]) -> None:
    """Each class with its probability as a bar, or each score as a number."""
    rows = "".join(
        f"<li><span>{html.escape(label(p.label))}</span>{_bar(p)}</li>" for p in predictions
    )
    st.html(f'<ol class="predictions">{rows}</ol>')


def _bar(prediction: Prediction) -> str:
    if prediction.probability is None:
        return f"<i></i><b>{written(prediction.value, 'score')}</b>"
    share = written(prediction.probability, "softmax")
    return f'<i style="width:{share}"></i><b>{share}</b>'
