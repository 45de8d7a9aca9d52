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

SCREENS = [
    (lesson.number, number) for lesson in lessons() for number in range(1, len(lesson.screens) + 1)
]


def run_page(number: int) -> None:
    from vitviz.ui.lesson import lessons

    lessons()[number - 1].page()


def opened(number: int, **params: str) -> AppTest:
    app = AppTest.from_function(run_page, args=(number,), default_timeout=300)
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
@pytest.mark.parametrize(("number", "step"), SCREENS)
def test_every_step_opens(number: int, step: int, language: str) -> None:
    app = opened(number, step=str(step), lang=language)
    lesson = lessons()[number - 1]
    words = texts(language)[lesson.id]
    assert app.title[0].value == f"{number} · {words['title']}"
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
@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.id)
def test_steps_are_walked_by_their_buttons(lesson: Lesson, language: str) -> None:
    app = opened(lesson.number, lang=language)
    assert app.button(key="back").disabled
    app.button(key="next").click().run()
    assert app.session_state["step"] == 2
    app.button(key="back").click().run()
    assert app.session_state["step"] == 1


def test_lesson_1_shows_the_models_own_numbers() -> None:
    app = opened(1, step="4", sample="coffee", patch="3,7")
    rec: vitviz.Recording = app.session_state["session"].rec
    with torch.no_grad():
        first = float(rec.vit.module.patch_embed(rec.pixels[None])[0, 3, 7, 0])
    assert f"= {first:.4f}" in app.latex[-1].value
    assert float(patch_vectors(rec)[3, 7, 0]) == pytest.approx(first)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.id)
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
