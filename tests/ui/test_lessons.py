"""Lessons through Streamlit's AppTest: charts, worksheets, what goes from one to the next."""

from __future__ import annotations

import html

import pytest
from lesson_pages import LESSONS, answer, assert_charts_are_chinese, opened
from streamlit.testing.v1 import AppTest
from visits import visit

from vitviz.ui.course.lesson import Lesson
from vitviz.ui.course.worksheet import worksheet
from vitviz.ui.visit.language import LANGUAGES, texts


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    ("name", "step", "keys", "count"),
    [
        ("prediction", 5, ["prediction.judge.measure"], 1),
        ("training", 5, ["training.run.take", "training.run.train"], 2),
        ("training", 7, ["training.run.quick", "training.run.train"], 1),
        ("cost", 1, ["cost.measure.run"], 2),
    ],
)
def test_charts_that_a_button_draws_are_chinese(
    name: str, step: int, keys: list[str], count: int
) -> None:
    app = opened(name, step=str(step), lang="zh")
    answer(app, right=True)
    for key in keys:
        lesson, screen, word = key.split(".")
        said = texts("zh")[lesson][screen][word]
        next(button for button in app.button if button.label == said).click().run()
    assert not app.exception
    assert assert_charts_are_chinese(app) == count


@pytest.mark.usefixtures("light")
def test_no_lesson_misreads_what_another_kept_with_the_photo() -> None:
    def run_pages() -> None:
        import streamlit as st

        from vitviz.ui.course.lesson_page import lessons, show

        show(next(x for x in lessons() if x.id == st.query_params["page"]))

    app = AppTest.from_function(run_pages, default_timeout=300)
    for name in [*LESSONS, *list(LESSONS)[-2::-1]]:  # there and back
        app.query_params["page"] = name
        app.query_params.pop("step", None)
        app.run()
        for step in range(1, len(LESSONS[name].screens) + 1):
            app.segmented_control(key="step").set_value(step).run()
            answer(app, right=True)
            assert (visit(app).lesson, app.session_state["step"]) == (name, step)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", LESSONS)
def test_steps_are_walked_by_their_buttons(name: str, language: str) -> None:
    app = opened(name, lang=language)
    assert app.button(key="back").disabled
    app.button(key="next").click().run()
    assert app.session_state["step"] == 2
    app.button(key="back").click().run()
    assert app.session_state["step"] == 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_worksheets_hold_the_lesson(lesson: Lesson, language: str) -> None:
    blanks, answers = (worksheet(lesson, answers=a, tongue=language) for a in (False, True))
    words = texts(language)[lesson.id]
    check = words["check"][0]
    for sheet in (blanks, answers):
        assert words["title"] in sheet
        assert all(option in html.unescape(sheet) for option in check["options"])
    assert "☒" in answers
    assert "☒" not in blanks
    assert "____" in blanks
    assert check["why"][check["right"]] not in html.unescape(blanks)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", LESSONS)
def test_a_notebook_is_offered_where_the_lesson_has_one(name: str, language: str) -> None:
    app = opened(name, lang=language)
    labels = [button.proto.label for button in app.get("download_button")]
    assert (texts(language)["lesson"]["notebook"] in labels) == (name not in ("idea", "training"))


def test_a_presenters_question_stands_where_the_widgets_come() -> None:
    app = opened("prediction", step="2", sample="coffee", present="true")
    assert not app.dataframe
    answer(app, right=False)
    assert len(app.warning) == 1
    assert not app.dataframe
    answer(app, right=True)
    assert not app.radio
    assert len(app.success) == 1
    assert len(app.dataframe) == 1
    app.run()
    assert len(app.success) == 1
