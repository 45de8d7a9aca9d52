"""Charts, drawn alike on every page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import altair
import streamlit as st

__all__ = ["draw_chart", "lines_by"]

DASHES = [  # as many as there are colours
    [1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2], [1, 3], [12, 3], [6, 2, 1, 2, 1, 2], [3, 5],
    [9, 6], [4, 4],
]  # fmt: skip


def lines_by(
    field: str,
    domain: Sequence[str] | None = None,
    legend: altair.Legend | None = None,
    **details: Any,
) -> dict[str, Any]:
    """Encodings of lines that are told apart by their colour, and without colours by their dashes.

    Args:
        field: of the table, such as method.
        domain: all of its values; None for those that are shown.
        legend: shows a piece of each line, also where the lines have points.
        details: of the legend, for both.
    """
    shown = altair.Legend() if legend is None else legend.copy()
    shown.symbolType, shown.symbolSize, shown.symbolStrokeWidth = "stroke", 700, 2
    details["legend"] = shown
    all_of_it: dict[str, Any] = {} if domain is None else {"domain": list(domain)}
    colours: dict[str, Any] = {"scale": altair.Scale(**all_of_it)} if domain else {}
    return {
        "color": altair.Color(field, **colours, **details),
        "strokeDash": altair.StrokeDash(
            field, scale=altair.Scale(range=DASHES, **all_of_it), **details
        ),
    }


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
