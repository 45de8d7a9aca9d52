"""Every step of every lesson opens, takes answers, and speaks one language."""

from __future__ import annotations

import pytest
from lesson_pages import BUNDLED, LESSONS, SCREENS, answer, assert_charts_are_chinese, opened

from vitviz.ui.course.lesson import CHECK
from vitviz.ui.visit.language import LANGUAGES, texts


def assert_opens(name: str, step: int, language: str) -> None:
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
    if language == "zh":
        assert_charts_are_chinese(app)


@pytest.mark.usefixtures("light_for_all")
class TestEveryStep:
    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize(("name", "step"), [s for s in SCREENS if s[0] != BUNDLED])
    def test_opens(self, name: str, step: int, language: str) -> None:
        assert_opens(name, step, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "step"), [s for s in SCREENS if s[0] == BUNDLED])
def test_opens_with_the_bundled_model(name: str, step: int, language: str) -> None:
    assert_opens(name, step, language)
