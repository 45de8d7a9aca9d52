"""The curves of methods over each other, of all that are measured so far."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from vitviz.measures.curves import Curve
from vitviz.methods.explain import METHODS
from vitviz.models.outputs import Meaning
from vitviz.ui.controls.question import method_title
from vitviz.ui.parts.chart import lines_by
from vitviz.ui.visit.language import t


def curves_chart(curves: Mapping[str, Curve], here: float, outputs: Meaning) -> alt.LayerChart:
    """A line for each method; hovering names the values.

    Args:
        curves: by the method, in the order of the legend.
        here: the share of changed patches that is marked.
        outputs: what the values are.
    """
    is_score = outputs == "score"
    title = t(f"compare.{value_of(outputs)}")
    points = pd.DataFrame(
        {
            "method": method_title(method),
            "share": share,
            "value": value,
        }
        for method, curve in curves.items()
        for share, value in zip(curve.shares, curve.values, strict=True)
    )
    axis = alt.Axis(format="%")
    # A method has one colour, whatever it is compared with and on whichever photo.
    every = [method_title(method) for method in METHODS]  # the last one is in random order
    shown_here = [method_title(method) for method in curves]
    legend = alt.Legend(
        orient="bottom",
        columns=2,
        title=None,
        values=shown_here,
        symbolOpacity=1,
    )
    base = alt.Chart(points).encode(
        x=alt.X("share", axis=axis, title=t("compare.changed")),
        y=alt.Y(
            "value",
            axis=alt.Axis() if is_score else axis,
            title=title,
            scale=alt.Scale(zero=False) if is_score else alt.Scale(domainMin=0),
        ),
    )
    told_apart = lines_by("method", every, legend=legend)
    lines = base.mark_line().encode(**told_apart)
    shown = [
        alt.Tooltip("method", title=t("compare.method")),
        alt.Tooltip("value", format=".4" if is_score else ".1%", title=title),
        alt.Tooltip("share", format=".0%", title=t("compare.changed")),
    ]
    dots = base.mark_point(filled=True, size=120, opacity=0.02)
    dots = dots.encode(tooltip=shown, color=told_apart["color"])
    mark = alt.Chart(pd.DataFrame({"share": [here]})).mark_rule(opacity=0.5)
    return lines + dots + mark.encode(x="share")


def value_of(outputs: Meaning) -> str:
    """What is measured of a class."""
    return "score" if outputs == "score" else "probability"
