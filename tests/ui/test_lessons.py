"""Lessons through Streamlit's AppTest: charts, worksheets, what goes from one to the next."""

from __future__ import annotations

import html

import pytest
from lesson_pages import BUNDLED, LESSONS, answer, assert_charts_are_chinese, opened
from pages import at
from streamlit.testing.v1 import AppTest
from visits import visit

from vitviz.ui.course import progress
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
        ("cost", 1, ["cost.timing.run"], 2),
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
            if len(app.success) < len(app.radio):  # on the way back its answers are there
                answer(app, right=True)
            assert (visit(app).lesson, app.session_state["step"]) == (name, step)


@pytest.mark.usefixtures("light_for_all")
class TestEveryLesson:
    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize("name", [name for name in LESSONS if name != BUNDLED])
    def test_has_buttons(self, name: str, language: str) -> None:
        assert_has_buttons(name, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_that_of_the_bundled_model_has_buttons(language: str) -> None:
    assert_has_buttons(BUNDLED, language)


def assert_has_buttons(name: str, language: str) -> None:
    """Steps are walked by them, and a notebook is offered where there is one."""
    app = opened(name, lang=language)
    labels = [button.proto.label for button in app.get("download_button")]
    assert (texts(language)["lesson"]["notebook"] in labels) == (name not in ("idea", "training"))
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


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_end_of_a_lesson_says_what_is_known_and_leads_on(language: str) -> None:
    words = texts(language)
    app = opened("attention", step="3", lang=language)
    answer(app, right=True)
    app.segmented_control(key="step").set_value(len(LESSONS["attention"].screens)).run()
    app.radio[0].set_value(1).run()  # the right one is 0
    headings = [heading.value for heading in app.subheader]
    assert words["lesson"]["known"] not in headings
    for radio in app.radio[1:]:
        radio.set_value(1)  # both are right
    app.run()
    assert words["lesson"]["known"] in [heading.value for heading in app.subheader]
    score = words["lesson"]["score"].format(guesses=1, guessed=1, checks=2, checked=3)
    assert score in [caption.value for caption in app.caption]
    assert app.button(key="on").label.endswith(words["matrix"]["title"])
    assert any(words["attention"]["recap"][2] in text.value for text in app.markdown)


def test_a_class_goes_on_once_all_is_right() -> None:
    app = opened("attention", step=str(len(LESSONS["attention"].screens)), present="true")
    answer(app, right=False)
    assert len(app.radio) == 3
    assert not [button for button in app.button if button.key == "on"]
    answer(app, right=True)
    assert not app.radio
    assert app.button(key="on")


def test_the_browser_gives_back_answers_after_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    found = {"attention.scale.guess": 1, "attention.check.0": 99, "attention.check.1": True, "x": 0}

    def memory(_: str, value: object) -> object:
        kept.append(value)
        return found if len(kept) > 1 else None  # it says so just after the first run

    monkeypatch.setattr(progress, "browser_memory", memory)

    def run() -> None:
        from vitviz.ui.course.lesson_page import lessons, show
        from vitviz.ui.course.progress import remember_answers

        remember_answers()
        show(next(lesson for lesson in lessons() if lesson.id == "attention"))

    app = at(AppTest.from_function(run, default_timeout=300), step="3")
    assert app.radio[0].value is None
    app.run()
    assert app.radio[0].value == 1
    assert len(app.success) == 1
    assert visit(app).answers == {"attention.scale.guess": 1}
    said = texts("en")["lesson"]["done"].format(done=1, count=4)
    assert any(said in caption.value for caption in app.caption)
    app.radio[0].set_value(0).run()
    assert kept == [None, None, {"attention.scale.guess": 0}]
    assert app.radio[0].value == 0  # what was found counts once
