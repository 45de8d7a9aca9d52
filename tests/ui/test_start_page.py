"""The whole app through Streamlit's AppTest: it opens with the start page, from which every other
page is reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from light_model import light_pages
from pages import PATIENCE, at
from streamlit.testing.v1 import AppTest
from visits import session

import vitviz
from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.pages import start
from vitviz.ui.visit.language import LANGUAGES

UI = Path(vitviz.__file__).parent / "ui"


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, light_pages(patch):
        yield


def app(**address: str) -> AppTest:
    return at(AppTest.from_file(UI / "entry" / "app.py", default_timeout=PATIENCE), **address)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_one_click_away(language: str) -> None:
    opened = app(lang=language)
    linked = [link.proto.page for link in opened.get("page_link")]
    tools = ["explore", "journey", "compare", "heads"]
    around = ["exam", "glossary", "teachers", "class"]
    course = [lesson.id for lesson in lessons()]
    assert linked == [course[0], *tools, *around, *course]


def test_it_shows_the_journey_of_the_photo_in_the_address() -> None:
    opened = app(sample="coffee")
    assert session(opened).photo.name == "coffee"
    assert session(opened).results.find("journey") is not None


def test_a_samples_journey_is_made_once_for_all_visitors() -> None:
    documents = [session(app(sample="coffee")).results.find("journey") for _ in range(2)]
    assert documents[0] is documents[1]


def test_every_lesson_has_a_picture() -> None:
    assert {file.stem for file in start.PICTURES.glob("*.webp")} == {each.id for each in lessons()}
