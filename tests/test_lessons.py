"""Every step of every lesson through Streamlit's AppTest."""

from __future__ import annotations

import html

import pytest
import torch
from streamlit.testing.v1 import AppTest

import vitviz
from vitviz.tokens import patch_vectors
from vitviz.ui.language import LANGUAGES, texts
from vitviz.ui.lesson import CHECK, Lesson, lessons
from vitviz.ui.worksheet import worksheet

LESSONS = {lesson.id: lesson for lesson in lessons()}
SCREENS = [
    (lesson.id, number)
    for lesson in LESSONS.values()
    for number in range(1, len(lesson.screens) + 1)
]


def run_page(name: str) -> None:
    from vitviz.ui.lesson import lessons

    next(lesson for lesson in lessons() if lesson.id == name).page()


def opened(name: str, **params: str) -> AppTest:
    app = AppTest.from_function(run_page, args=(name,), default_timeout=300)
    for key, value in params.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
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


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "step"), SCREENS)
def test_every_step_opens(name: str, step: int, language: str) -> None:
    app = opened(name, step=str(step), lang=language)
    lesson = LESSONS[name]
    words = texts(language)[name]
    assert app.title[0].value == f"{lesson.number} · {words['title']}"
    screen = lesson.screens[step - 1]
    if screen in words and "title" in words[screen]:
        assert app.subheader[0].value == words[screen]["title"]
    asked = len(app.radio)
    assert asked == (3 if screen == CHECK else "guess" in words.get(screen, {}))
    if asked:
        answer(app, right=False)
        assert len(app.warning) == asked
        answer(app, right=True)
        assert len(app.success) == asked
        assert not app.warning


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", LESSONS)
def test_steps_are_walked_by_their_buttons(name: str, language: str) -> None:
    app = opened(name, lang=language)
    assert app.button(key="back").disabled
    app.button(key="next").click().run()
    assert app.session_state["step"] == 2
    app.button(key="back").click().run()
    assert app.session_state["step"] == 1


def test_lesson_1_shows_the_models_own_numbers() -> None:
    app = opened("tokens", step="4", sample="coffee", patch="3,7")
    rec: vitviz.Recording = app.session_state["session"].rec
    with torch.no_grad():
        first = float(rec.vit.module.patch_embed(rec.pixels[None])[0, 3, 7, 0])
    assert f"= {first:.4f}" in app.latex[-1].value
    assert float(patch_vectors(rec)[3, 7, 0]) == pytest.approx(first)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_worksheets_hold_the_lesson(lesson: Lesson, language: str) -> None:
    blanks, answers = (worksheet(lesson, answers=a, tongue=language) for a in (False, True))
    words = texts(language)[lesson.id]
    check = words["check"][0]
    for sheet in (blanks, answers):
        assert words["title"] in sheet
        assert all(html.escape(option) in sheet for option in check["options"])
    assert "☒" in answers
    assert "☒" not in blanks
    assert "____" in blanks
    assert html.escape(check["why"][check["right"]]) not in blanks
