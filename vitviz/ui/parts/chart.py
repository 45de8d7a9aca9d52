"""Charts, drawn alike on every page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import altair
import streamlit as st

from vitviz.ui.visit.presenting import presented

__all__ = ["beside", "draw_chart", "lines_by"]

DASHES = [  # as many as there are methods to compare; colours are fewer
    [1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2], [1, 3], [12, 3], [6, 2, 1, 2, 1, 2], [3, 5],
    [9, 6], [4, 4], [1, 6], [14, 3, 5, 3], [5, 2, 2, 2], [2, 2, 2, 8], [16, 8],
]  # fmt: skip
LETTERS, LONGEST = 12, 260  # px of letters, and of a name in a legend
GREY = "#808080"  # of a line to compare with: seen by day and at night
STROKE = 34  # px of a line in a legend: as long as its dashes take to be told apart
GAP = 8  # px between an axis, its numbers and its title


def beside(columns: int) -> altair.ExprRef:
    """So many columns of a legend; where the chart is narrow, as on a phone, half as many."""
    return altair.ExprRef(f"width < 450 ? {columns // 2} : {columns}")


def lines_by(
    field: str,
    domain: Sequence[str] | None = None,
    *,
    legend: altair.Legend,
    **details: Any,
) -> dict[str, Any]:
    """Encodings of lines that are told apart by their colour, and without colours by their dashes,
    as the legend shows.

    Args:
        field: of the table, such as method.
        domain: all of its values; None for those that are shown.
        legend: shows a piece of each line, also where the lines have points.
        details: for both encodings.
    """
    shown = legend.copy()
    shown.symbolType, shown.symbolSize, shown.symbolStrokeWidth = "stroke", STROKE**2, 2
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
        height: in px; a presenter's is larger.
        alt: what there is to see, in words.
    """
    letters = presented(LETTERS)
    drawn = (
        chart.properties(padding={"right": letters, "bottom": GAP})  # for half of the last number
        .configure_axis(
            labelFontSize=letters, titleFontSize=letters, labelPadding=GAP, titlePadding=GAP
        )
        .configure_axisY(  # beside the axis, Chinese would stand letter over letter
            titleAngle=0, titleAlign="left", titleBaseline="bottom", titleX=0, titleY=-GAP
        )
        .configure_legend(
            labelFontSize=letters, titleFontSize=letters, labelLimit=presented(LONGEST)
        )
        .configure_rule(color=GREY)
    )
    high = presented(height) if isinstance(height, int) else height
    st.altair_chart(drawn, width="stretch", height=high, alt=alt)
