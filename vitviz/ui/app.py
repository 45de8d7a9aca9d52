"""Page configuration and navigation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from vitviz.ui.controls.photo_picker import keep_link, opened_samples
from vitviz.ui.course import class_page, exam_page, glossary_page, teachers_page
from vitviz.ui.course.classroom import CLASS
from vitviz.ui.course.exam import EXAM
from vitviz.ui.course.lesson import Lesson
from vitviz.ui.course.lesson_page import lessons, show
from vitviz.ui.course.progress import done, remember_answers
from vitviz.ui.course.teachers_page import TEACHERS
from vitviz.ui.course.terms import GLOSSARY
from vitviz.ui.pages import start
from vitviz.ui.pages.tools import tools
from vitviz.ui.parts.journey import journey_document
from vitviz.ui.visit.admission import admit
from vitviz.ui.visit.analyse import see_sample
from vitviz.ui.visit.language import choose_language, t, widget_words
from vitviz.ui.visit.memory import give_back_again_and_again, leave_out_imports
from vitviz.ui.visit.metrics import PAGE
from vitviz.ui.visit.opening import wait_until_opened
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import limit_uploads, send_at_once, serving
from vitviz.ui.visit.turns import one_core
from vitviz.zoo.catalogue import BUNDLED

HERE = Path(__file__).parent
START, JOIN = ":material/home:", ":material/groups:"


def main() -> None:
    """One run of the app: the page that the address names."""
    prepare_server()
    one_core()
    choose_language()
    st.set_page_config("Vitviz", page_icon=str(HERE / "logo.svg"), layout="wide")
    st.html(HERE / "page.css")
    st.html(widget_words())
    admit()
    wait_until_opened()
    shown = tools()
    course = {lesson.id: _page_of(lesson) for lesson in lessons()}
    around = _around(course)

    def first() -> None:
        cards = {
            lesson.id: start.Card(
                course[lesson.id], lesson.minutes, done(lesson), len(lesson.questions)
            )
            for lesson in lessons()
        }
        start.page(shown, cards, [*around.values(), join])

    beginning = st.Page(first, title=t("nav.start"), icon=START, default=True)
    join = st.Page(class_page.page, title=t("nav.class"), icon=JOIN, url_path=CLASS)
    found = st.navigation(
        {
            "": [beginning, *shown.values()],
            t("nav.lessons"): [*course.values(), *around.values(), join],
        },
        position="top",
    )
    remember_answers()  # what the browser answers names the page that it knows of by now
    keep_link(found.url_path)
    with PAGE.labels(found.url_path or "start").time():
        found.run()
    visit().decoded = None  # no page needed it now


@st.cache_resource(show_spinner=False)
def prepare_server() -> None:
    """Once, for the first page."""
    send_at_once()
    limit_uploads()
    leave_out_imports()
    give_back_again_and_again()


def warm_up(answered: Callable[[], object]) -> None:
    """Look at the samples before anybody asks for them; at the first one as the start page does.
    It ends with the server.

    Args:
        answered: called once the first page needs nothing more.
    """
    for number, (_, photo) in enumerate(opened_samples().values()):
        if not serving():
            return
        session = see_sample(photo, BUNDLED)
        if number == 0:
            journey_document(session)
            answered()


def _page_of(lesson: Lesson) -> StreamlitPage:
    return st.Page(
        lambda: show(lesson),
        title=f"{lesson.number} · {lesson.text('title')}",
        url_path=lesson.id,
    )


def _around(course: Mapping[str, StreamlitPage]) -> dict[str, StreamlitPage]:
    """The pages around the lessons, by their address."""
    found = {
        EXAM: (exam_page, ":material/quiz:"),
        GLOSSARY: (glossary_page, ":material/dictionary:"),
        TEACHERS: (teachers_page, ":material/cast_for_education:"),
    }
    return {
        name: st.Page(
            partial(module.page, course), title=t(f"{name}.title"), icon=icon, url_path=name
        )
        for name, (module, icon) in found.items()
    }
