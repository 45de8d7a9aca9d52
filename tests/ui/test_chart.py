"""How charts are drawn, for one and for a class."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
from pages import at
from streamlit.testing.v1 import AppTest

from vitviz.methods.explain import METHODS
from vitviz.ui.parts.chart import DASHES, lines_by


def draw() -> None:
    import altair as alt
    import pandas as pd

    from vitviz.ui.parts.chart import draw_chart

    chart = alt.Chart(pd.DataFrame({"x": [0, 1]})).mark_line().encode(x="x", y="x")
    draw_chart(chart, height=200)


def config(**params: str) -> dict[str, Any]:
    [chart] = at(AppTest.from_function(draw), **params).get("vega_lite_chart")
    found: dict[str, Any] = json.loads(chart.proto.spec)["config"]
    return found


def test_a_class_sees_larger_letters() -> None:
    one, many = config(), config(present="true")
    for part in ("axis", "legend"):
        for letters in ("labelFontSize", "titleFontSize"):
            assert many[part][letters] > one[part][letters]


def test_every_method_has_dashes_of_its_own() -> None:
    assert len({tuple(dash) for dash in DASHES}) == len(DASHES) >= len(METHODS)


def test_a_legend_shows_the_dashes() -> None:
    given = alt.Legend(orient="top")
    found = lines_by("way:N", ["one", "other"], legend=given)
    legends = [found[name].to_dict()["legend"] for name in ("color", "strokeDash")]
    assert legends[0] == legends[1]  # else there are two
    assert legends[0]["symbolType"] == "stroke"
    longest = max(sum(dash) for dash in DASHES)
    assert legends[0]["symbolSize"] ** 0.5 >= longest
    assert "symbolType" not in given.to_dict()
