"""What a page says wherever a recording is shown in part."""

from __future__ import annotations

import streamlit as st

from vitviz.recording.recording import Recording
from vitviz.ui.visit.language import t


def left_out(rec: Recording) -> None:
    """How many of the model's attention layers are not shown, and their names."""
    if rec.left_out:
        st.caption(
            t("explore.left_out", shown=rec.num_layers, hidden=len(rec.left_out)),
            help=", ".join(f"`{name}`" for name in rec.left_out),
        )
