"""For teachers: what a class should know, plans, topics, what students get wrong, and files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from vitviz.classroom.classroom import Shown
from vitviz.errors import VitvizError
from vitviz.ui.course.booklet import booklet
from vitviz.ui.course.classroom import remember_class
from vitviz.ui.course.exam_page import DIGITS, print_menu
from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.course.worksheet import worksheet
from vitviz.ui.visit import keys, live_class
from vitviz.ui.visit.language import LANG, entry, explained, language, language_switch, t
from vitviz.ui.visit.order import COURSE, NUMBERS
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import go_to

TEACHERS = "teachers"  # its address, and the key of its texts


def page(_: Mapping[str, StreamlitPage]) -> None:
    """All of it; links to lessons open in a new tab, in the presenter's view."""
    language_switch()
    with st.container(key=TEACHERS):
        st.title(t(f"{TEACHERS}.title"), anchor=False)
        st.markdown(t(f"{TEACHERS}.intro"))
        _live_class()
        _heading("before")
        st.markdown("\n".join(f"- {each['text']}" for each in entry(f"{TEACHERS}.prerequisites")))
        _plans()
        _topics()
        _misconceptions()
        _files()


def _heading(name: str) -> None:
    st.subheader(t(f"{TEACHERS}.headings.{name}"), anchor=False)


def _live_class() -> None:
    """Open one at the first lesson, or go back to the one that is open."""
    remember_class()
    if visit().attends:
        return
    teacher = visit().teaches
    title = t("classroom.to_lesson" if teacher else "classroom.open")
    if not st.button(title, icon=":material/groups:", type="primary", key=keys.OPEN_CLASS):
        return
    if teacher is None:
        if live_class.tried(live_class.begin, Shown(COURSE[0], 1)):
            go_to(COURSE[0])
        return
    try:
        shown = teacher.shown()
    except VitvizError as error:
        st.error(explained(error), icon=":material/error:")
    else:
        go_to(shown.lesson)


def _plans() -> None:
    _heading("plans")
    plans = entry(f"{TEACHERS}.plans")
    for plan, tab in zip(plans, st.tabs([plan["title"] for plan in plans]), strict=True):
        with tab:
            st.markdown(plan["goal"])
            rows = [
                (
                    f"{part['minutes']}′",
                    lesson_link(part["lesson"], part.get("steps")),
                    part["does"],
                )
                for part in plan["parts"]
            ]
            _table(("minutes", "lesson", "does"), rows)


def _topics() -> None:
    _heading("topics")
    rows = [
        (topic["topic"], ", ".join(map(lesson_link, topic["lessons"])))
        for topic in entry(f"{TEACHERS}.syllabus")
    ]
    _table(("topic", "lessons"), rows)


def _misconceptions() -> None:
    _heading("misconceptions")
    rows = [
        (each["think"], each["true"], f"{lesson_link(each['lesson'])} {each['show']}")
        for each in entry(f"{TEACHERS}.misconceptions")
    ]
    _table(("think", "true", "show"), rows)


def lesson_link(lesson: str, steps: str | None = None) -> str:
    """A link to a lesson in the presenter's view, at the first of these steps, such as 3–5."""
    title = t("lesson.on", number=NUMBERS[lesson], title=t(f"{lesson}.title"))
    first = re.match(r"\d+", steps or "1")
    assert first is not None
    address = f"{lesson}?{keys.STEP}={first[0]}&{keys.PRESENT}=true&{LANG}={language()}"
    link = f"[{title}]({address})"
    return t(f"{TEACHERS}.of_steps", lesson=link, steps=steps) if steps else link


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Words in columns; a phone shows the cells of a row below each other."""
    head = [t(f"{TEACHERS}.columns.{name}") for name in names]
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _files() -> None:
    """Worksheets and an exam with their answers, and the course as a booklet."""
    _heading("files")
    sheets, exam, whole = st.columns(3, gap="large")
    with sheets:
        chosen = st.selectbox(
            t(f"{TEACHERS}.worksheet"),
            range(len(COURSE)),
            format_func=[lesson.text("title") for lesson in lessons()].__getitem__,
            key=keys.TEACHERS_LESSON,
        )
        lesson = lessons()[chosen]
        st.download_button(
            t("lesson.with_answers"),
            partial(worksheet, lesson, answers=True, tongue=language()),
            f"vitviz-{lesson.number}-{lesson.id}-answers.html",
            "text/html",
            icon=":material/download:",
            on_click="ignore",
            key=keys.TEACHERS_SHEET,
        )
    with exam:
        most = 10**DIGITS - 1
        print_menu(st.number_input(t(f"{TEACHERS}.exam"), 0, most, 1, key=keys.TEACHERS_EXAM))
    with whole:
        st.markdown(t(f"{TEACHERS}.whole"))
        st.download_button(
            t(f"{TEACHERS}.booklet"),
            partial(booklet, lessons(), tongue=language()),
            f"vitviz-course-{language()}.html",
            "text/html",
            icon=":material/menu_book:",
            on_click="ignore",
            key=keys.BOOKLET,
        )
