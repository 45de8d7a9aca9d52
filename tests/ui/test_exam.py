"""The final exam: which questions it draws, what it says and when."""

from __future__ import annotations

import html
from collections import Counter

import pytest
from pages import PATIENCE, at
from streamlit.testing.v1 import AppTest
from visits import visit

from vitviz.ui.course.exam import COUNT, draw, printed_exam, questions
from vitviz.ui.visit.language import LANGUAGES, texts
from vitviz.ui.visit.order import COURSE

LESSONS = [asked["lesson"] for asked in texts("en")["exam"]["questions"]]


def test_the_pool_has_questions_of_every_lesson() -> None:
    for asked in texts("en")["exam"]["questions"]:
        assert len(asked["options"]) == len(asked["why"]) > asked["right"] >= 0
    assert Counter(LESSONS).keys() == set(COURSE)
    assert min(Counter(LESSONS).values()) >= 2


@pytest.mark.parametrize("seed", range(20))
def test_a_draw_is_even_over_the_lessons(seed: int) -> None:
    drawn = draw(LESSONS, seed)
    assert len(set(drawn)) == COUNT
    assert drawn == sorted(drawn) == draw(LESSONS, seed)
    of = Counter(LESSONS[number] for number in drawn)
    assert of.keys() == set(COURSE)
    assert max(of.values()) - min(of.values()) == 1


def test_other_draws_are_other_questions_and_all_come_up() -> None:
    draws = [tuple(draw(LESSONS, seed)) for seed in range(60)]
    assert len(set(draws)) == 60
    assert {number for drawn in draws for number in drawn} == set(range(len(LESSONS)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_printed_without_and_with_its_key(language: str) -> None:
    blank, key = (html.unescape(printed_exam(7, key=k, tongue=language)) for k in (False, True))
    for asked in questions(7, language).values():
        for sheet in (blank, key):
            assert all(option in sheet for option in asked["options"])
        assert asked["why"][asked["right"]] in key
    assert key.count("☒") == COUNT
    assert "☒" not in blank


def page(**address: str) -> AppTest:
    def run() -> None:
        import streamlit as st

        from vitviz.ui.course.exam_page import page
        from vitviz.ui.visit.order import COURSE

        pages = {name: st.Page(lambda: None, url_path=name, title=name) for name in COURSE}
        elsewhere = "elsewhere" in st.query_params
        here = st.Page(lambda: elsewhere or page(pages), title="exam")
        st.navigation([here, *pages.values()]).run()

    return at(AppTest.from_function(run, default_timeout=PATIENCE), **address)


def answer(app: AppTest, count: int) -> None:
    """The first questions right."""
    for radio, asked in zip(app.radio[:count], questions(7, "en").values(), strict=False):
        radio.set_value(asked["right"])
    app.run()
    assert not app.exception


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_said_before_it_is_handed_in(language: str) -> None:
    words = texts(language)["exam"]
    app = page(draw="7", lang=language)
    assert len(app.radio) == COUNT
    answer(app, COUNT - 2)
    wrong = next(reversed(questions(7, language).values()))
    app.radio[COUNT - 1].set_value((wrong["right"] + 1) % len(wrong["options"])).run()
    assert not [*app.success, *app.warning, *app.subheader]
    done = words["answered"].format(done=COUNT - 1, count=COUNT)
    assert done in [caption.value for caption in app.caption]
    app.button(key="hand_in").click().run()
    assert not app.radio
    assert app.subheader[0].value == words["score"].format(right=COUNT - 2, count=COUNT)
    assert app.warning[0].value == words["unanswered"]
    assert wrong["why"][(wrong["right"] + 1) % len(wrong["options"])] in app.warning[1].value
    assert len(app.success) == COUNT == len(app.get("page_link"))


def test_answers_survive_another_page_but_not_another_exam() -> None:
    app = page(draw="7")
    answer(app, 5)
    app.query_params = {"elsewhere": "true"}
    app.run()
    assert not app.radio
    app.query_params = {}
    app.run()
    assert visit(app).exam.draw == 7
    assert sum(radio.value is not None for radio in app.radio) == 5
    app.button(key="draw_again").click().run()
    assert visit(app).exam.draw != 7
    assert not visit(app).exam.answers


@pytest.mark.parametrize("draw", ["", "x", "-1", "²", "9" * 5000])
def test_a_link_to_no_exam_opens_one(draw: str) -> None:
    app = page(draw=draw)
    assert len(app.radio) == COUNT
