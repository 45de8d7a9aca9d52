"""The teachers' page, and the course as a booklet."""

from __future__ import annotations

import html
import re

import pytest
from lesson_pages import LESSONS
from pages import PATIENCE, at
from streamlit.testing.v1 import AppTest

from vitviz.ui.course.booklet import booklet
from vitviz.ui.course.paper import PICTURES
from vitviz.ui.visit.language import LANGUAGES, texts

LINK = re.compile(r"\]\((\w+)\?step=(\d+)&present=true&lang=(\w+)\)")


def page(**address: str) -> AppTest:
    def run() -> None:
        from vitviz.ui.course.teachers_page import page

        page({})

    return at(AppTest.from_function(run, default_timeout=PATIENCE), **address)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_leads_to_the_steps_of_its_plans(language: str) -> None:
    words = texts(language)["teachers"]
    app = page(lang=language)
    assert app.title[0].value == words["title"]
    assert [heading.value for heading in app.subheader] == list(words["headings"].values())
    assert [tab.label for tab in app.tabs] == [plan["title"] for plan in words["plans"]]
    links = [link for text in app.markdown for link in LINK.findall(text.value)]
    parts = [part for plan in words["plans"] for part in plan["parts"]]
    assert len(links) == (
        len(parts)
        + sum(len(topic["lessons"]) for topic in words["syllabus"])
        + len(words["misconceptions"])
    )
    for lesson, step, tongue in links:
        assert 1 <= int(step) <= len(LESSONS[lesson].screens)
        assert tongue == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plan_takes_as_long_as_it_says_and_names_steps_that_exist(language: str) -> None:
    for plan in texts(language)["teachers"]["plans"]:
        minutes = [int(number) for number in re.findall(r"\d+", plan["title"])]
        total = minutes[0] if len(minutes) == 1 else minutes[0] * minutes[1]
        assert sum(part["minutes"] for part in plan["parts"]) == total
        for part in plan["parts"]:
            last = len(LESSONS[part["lesson"]].screens)
            assert all(1 <= int(step) <= last for step in re.findall(r"\d+", part.get("steps", "")))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_booklet_holds_the_course_and_loads_nothing(language: str) -> None:
    book = booklet(list(LESSONS.values()), tongue=language)
    assert len(book) < 12e6
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", book)
    said, words = html.unescape(book), texts(language)
    for lesson in LESSONS.values():
        assert f'href="#{lesson.id}"' in book
        own = words[lesson.id]
        assert all(sentence in said for sentence in [own["title"], own["answer"], *own["recap"]])
    assert all(term["text"] in said for term in words["glossary"]["terms"].values())
    for asked in words["exam"]["questions"]:
        assert asked["ask"].split("*")[0] in said
        assert asked["why"][asked["right"]] in said


def test_steps_have_the_same_pictures_in_both_languages() -> None:
    steps = {f"{lesson.id}-{step.id}" for lesson in LESSONS.values() for step in lesson.steps}
    found = [{file.stem for file in (PICTURES / tongue).glob("*.webp")} for tongue in LANGUAGES]
    assert found[0] == found[1] <= steps
    assert {name.split("-")[0] for name in found[0]} == LESSONS.keys()
    assert all(file.stat().st_size <= 40_000 for file in PICTURES.rglob("*.webp"))
