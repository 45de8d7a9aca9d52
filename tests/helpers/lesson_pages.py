"""Lessons through Streamlit's AppTest."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pages import PATIENCE, at
from streamlit.testing.v1 import AppTest

from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.visit.language import texts

LESSONS = {lesson.id: lesson for lesson in lessons()}
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
