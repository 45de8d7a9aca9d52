"""Charts, drawn alike on every page."""

from __future__ import annotations

from typing import Literal

import altair
import streamlit as st

__all__ = ["draw_chart"]


def draw_chart(
    chart: altair.Chart | altair.LayerChart,
    height: int | Literal["content"] = "content",
    alt: str | None = None,
) -> None:
    """Draw a chart as wide as its place; the title of its vertical axis stands upright above it.

    Args:
        chart: without a configuration of its own.
        height: in px.
        alt: what there is to see, in words.
    """
    upright = chart.configure_axisY(  # beside the axis, Chinese would stand letter over letter
        titleAngle=0, titleAlign="left", titleBaseline="bottom", titleX=0, titleY=-8
    )
    st.altair_chart(upright, width="stretch", height=height, alt=alt)
