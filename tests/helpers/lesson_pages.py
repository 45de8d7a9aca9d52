"""Lessons through Streamlit's AppTest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pages import PATIENCE, at
from streamlit.testing.v1 import AppTest

from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.visit.language import texts

LESSONS = {lesson.id: lesson for lesson in lessons()}
BUNDLED = "captions"  # what leads from photos to words is the bundled model's
SCREENS = [
    (lesson.id, number)
    for lesson in LESSONS.values()
    for number in range(1, len(lesson.screens) + 1)
]


def run_page(name: str) -> None:
    from vitviz.ui.course.lesson_page import lessons, show

    show(next(lesson for lesson in lessons() if lesson.id == name))


def opened(name: str, **params: str) -> AppTest:
    app = at(AppTest.from_function(run_page, args=(name,), default_timeout=PATIENCE), **params)
    assert not app.error
    return app


def answer(app: AppTest, right: bool) -> None:
    """Answer every question on the screen."""
    for radio in app.radio:
        path = radio.key.split(".")
        question = texts("en")
        for part in path:
            question = question[int(part) if isinstance(question, list) else part]
        options = range(len(question["options"]))
        chosen = next(index for index in options if (index == question["right"]) == right)
        radio.set_value(chosen)
    app.run()
    assert not app.exception


def chart(app: AppTest) -> dict[str, list[Any]]:
    """The numbers of the page's last chart, by column."""
    data = app.get("vega_lite_chart")[-1].proto.datasets
    tables = [pa.ipc.open_stream(each.data.data).read_pandas().to_dict("list") for each in data]
    return max(tables, key=len)  # the other one is a baseline


def metrics(app: AppTest) -> list[str]:
    """What the page's metrics say."""
    return [metric.value for metric in app.metric]


def titles(spec: object) -> Iterator[str | None]:
    """What a chart's specification calls its axes, and the fields of its tooltips; None if one of
    these has the field's own name."""
    if isinstance(spec, list):
        for part in spec:
            yield from titles(part)
    elif isinstance(spec, dict):
        for tip in spec.get("tooltip", []):
            yield tip.get("title")
        for name, part in spec.items():
            encodes = name in ("x", "y", "color") and isinstance(part, dict)  # or a style's colour
            if encodes and (part.get("title") or "").strip():
                yield part["title"]
            yield from titles(part)


def assert_charts_are_chinese(app: AppTest) -> int:
    """Every chart speaks Chinese, but for a formula; how many there are."""
    charts = app.get("vega_lite_chart")
    for chart in charts:
        spec = json.loads(chart.proto.spec)
        assert spec["config"]["axisY"]["titleAngle"] == 0  # else letters stand over each other
        found = list(titles(spec))
        assert all(
            title in ("H", "H / ln n") or re.search("[\u4e00-\u9fff]", title or "")
            for title in found
        )
    return len(charts)
