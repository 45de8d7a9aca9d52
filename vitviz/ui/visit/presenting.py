"""Whether a lesson is shown to a class."""

from __future__ import annotations

import streamlit as st

from vitviz.ui.visit import keys


def is_presenting() -> bool:
    """Large type and arrow keys, by the switch or the address."""
    return bool(st.session_state.get(keys.PRESENT, st.query_params.get(keys.PRESENT) == "true"))


def presented(pixels: int) -> int:
    """Pixels of letters, or of what holds them, such as a chart: more for a presenter's large
    type."""
    return round(1.35 * pixels) if is_presenting() else pixels
