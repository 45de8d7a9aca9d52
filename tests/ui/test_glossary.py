"""The glossary: what is found in it, and the links to it in the lessons' words."""

from __future__ import annotations

import re

import pytest
from lesson_pages import LESSONS, opened
from markdown_it import MarkdownIt
from pages import PATIENCE, at
from streamlit.testing.v1 import AppTest

from vitviz.ui.course.glossary_page import in_order, search
from vitviz.ui.course.lesson import TRY, Lesson
from vitviz.ui.course.terms import link_terms, words
from vitviz.ui.course.worksheet import worksheet
from vitviz.ui.visit.language import LANGUAGES, texts
from vitviz.ui.visit.order import NUMBERS

LINK = re.compile(r"\[([^\]]+)\]\(glossary\?term=(\w+)&lang=(\w+)\)")


def linked(*said: str, whole_words: bool = True, **forms: str) -> list[str]:
    names = {form.replace("_", " "): term for form, term in forms.items()}
    return link_terms(said, names, str, whole_words=whole_words)


def test_the_longest_form_is_meant_and_a_term_is_linked_once() -> None:
    said = linked(
        "An attention map, attention.", "Attention Maps", attention="a", attention_map="m"
    )
    assert said == ["An [attention map](m), [attention](a).", "Attention Maps"]


def test_nothing_is_linked_inside_a_word_code_a_formula_or_a_link() -> None:
    text = "reheated head-on `head` $head$ [head](x) ahead"
    assert linked(text, head="h") == [text]
    assert linked(f"{text} Heads head", head="h", heads="h")[0].endswith("ahead [Heads](h) head")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The **query** asks", "The [**query**](q) asks"),
        ("a **long query here** b", "a **long** [**query**](q) **here** b"),
        ("**query**, **key**", "[**query**](q), **key**"),
    ],
)
def test_bold_stays_bold(text: str, expected: str) -> None:
    assert linked(text, query="q") == [expected]


def test_in_chinese_a_form_needs_no_gaps_and_bold_ends_before_a_letter() -> None:
    [said] = linked("这是**一个查询**向量", 查询="q", whole_words=False)
    html = MarkdownIt().render(said)
    assert html == '<p>这是<strong>一个</strong><a href="q"><strong>查询</strong></a>向量</p>\n'


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_a_lessons_words_stay_and_each_term_is_linked_once(lesson: Lesson, language: str) -> None:
    own = texts(language)[lesson.id]
    met = []
    for screen in lesson.screens[:-1]:
        said = words(lesson, screen, language)
        before = own[TRY] if screen == TRY else own[screen]["text"]
        plain = LINK.sub(r"\1", said)
        assert plain.replace("*", "") == before.replace("*", "")
        assert bold(said) == bold(before)
        met += LINK.findall(said)
    assert met
    terms = [term for _, term, _ in met]
    assert len(terms) == len(set(terms))
    assert {tongue for _, _, tongue in met} == {language}
    assert "glossary?" not in worksheet(lesson, answers=True, tongue=language)


def bold(markdown: str) -> str:
    """All that is bold once it is rendered, without gaps."""
    found = re.findall("<strong>(.+?)</strong>", MarkdownIt().render(markdown))
    return "".join(found).replace(" ", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_term_has_a_lesson_and_forms_of_its_own(language: str) -> None:
    terms = texts(language)["glossary"]["terms"]
    assert {term["lesson"] for term in terms.values()} <= NUMBERS.keys()
    meant = {(form.lower(), term) for term, found in terms.items() for form in found["forms"]}
    assert len(meant) == len({form for form, _ in meant})


def test_a_search_looks_into_names_forms_and_texts() -> None:
    terms = texts("en")["glossary"]["terms"]
    assert "query" in search(terms, "QUERIES")
    assert list(search(terms, "dot product"))
    assert not search(terms, "no such term")
    names = [term["name"].casefold() for term in search(terms, "").values()]
    assert names == sorted(names)
    assert len(names) == len(terms)


def test_chinese_names_are_in_the_order_of_their_sounds() -> None:
    assert sorted(["值", "softmax", "查询", "键", "ViT"], key=in_order) == [
        "softmax",
        "ViT",
        "查询",
        "键",
        "值",
    ]


def page(**address: str) -> AppTest:
    def run() -> None:
        import streamlit as st

        from vitviz.ui.course.glossary_page import page
        from vitviz.ui.visit.order import COURSE

        pages = {name: st.Page(lambda: None, url_path=name, title=name) for name in COURSE}
        st.navigation([st.Page(lambda: page(pages), title="glossary"), *pages.values()]).run()

    return at(AppTest.from_function(run, default_timeout=PATIENCE), **address)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_all_terms_the_one_in_the_address_first(language: str) -> None:
    terms = texts(language)["glossary"]["terms"]
    app = page(term="query", lang=language)
    assert app.title[0].value == texts(language)["glossary"]["title"]
    shown = [text.value for text in app.markdown[1:]]
    assert len(shown) == len(terms) == len(app.get("page_link"))
    assert shown[0].startswith(f"**{terms['query']['name']}**")


def test_a_search_without_finds_says_so() -> None:
    app = page()
    app.text_input[0].set_value("zzz").run()
    assert app.info[0].value == texts("en")["glossary"]["none"]


def test_a_lessons_step_links_to_the_glossary() -> None:
    app = opened("attention", step="2", lang="zh")
    assert any("glossary?term=dot_product&lang=zh" in text.value for text in app.markdown)
