"""A live class on a lesson's page: the teacher's menu, the student's bar, and who goes where."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from html import escape
from urllib.parse import urlsplit

import pandas as pd
import segno
import streamlit as st

from vitviz.classroom.classroom import Attendance, Shown, Student, Teacher, is_patch
from vitviz.errors import ClassError, VitvizError
from vitviz.ui.course.lesson import Lesson
from vitviz.ui.parts.browser_memory import browser_memory
from vitviz.ui.visit import keys, live_class
from vitviz.ui.visit.language import ENGLISH, LANG, entry, explained, language, t
from vitviz.ui.visit.live_class import tried
from vitviz.ui.visit.markdown import as_words
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import go_to

CLASS = "class"  # the address of the page where one joins; what a browser keeps a class under
PATCH = "patch"  # in the address
TEACHER_LOOKS, STUDENT_LOOKS = 1.0, 2.0  # seconds between two looks at the class
MOST_PATCHES = 6  # that are listed
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def remember_class() -> None:
    """Let the browser keep the class, and take it up again after a reload."""
    found = browser_memory(CLASS, visit().class_kept)
    try:
        again = live_class.came_back(found)
    except VitvizError as error:
        st.warning(explained(error), icon=":material/cloud_off:")
        return
    if again:
        st.rerun()


def class_menu(lesson: Lesson) -> None:
    """For a teacher: open a class, and see who is here, raises a hand or shows a patch."""
    if teacher := visit().teaches:
        _led(teacher)
    elif visit().attends is None:
        with st.popover(t("classroom.menu"), icon=":material/groups:", key=keys.CLASS_MENU):
            st.markdown(t("classroom.about"))
            st.button(
                t("classroom.open"),
                icon=":material/play_arrow:",
                type="primary",
                key=keys.OPEN_CLASS,
                on_click=lambda: _try(
                    live_class.begin, _shown(lesson, st.session_state.get(keys.STEP) or 1)
                ),
            )


def lead(lesson: Lesson, number: int) -> None:
    """Of a teacher: what is on this page is what the class is shown."""
    if teacher := visit().teaches:
        with suppress(VitvizError):  # the menu says it
            teacher.show(_shown(lesson, number))


def resume(lesson: Lesson) -> None:
    """Of a teacher: who comes back to the lesson is where the class is."""
    if (teacher := visit().teaches) and not _is_named(keys.STEP):
        with suppress(VitvizError):  # the menu says it
            shown = teacher.shown()
            if shown.lesson == lesson.id:
                st.session_state[keys.STEP] = shown.screen


def follow(lesson: Lesson) -> None:
    """Of a student: go where the teacher has gone since the last look. What the student does in
    between, with a photo of their own too, stays; who chooses another step follows no more."""
    state = visit()
    if state.attends is None:
        return
    try:
        shown = state.attends.shown()
    except VitvizError:  # the bar says it
        return
    before, state.followed = state.followed, shown
    if not state.follows:
        return
    if shown.lesson != lesson.id:
        state.followed = None
        go_to(shown.lesson)
    if before is None or shown.screen != before.screen:
        st.session_state[keys.STEP] = min(shown.screen, len(lesson.screens))
    state.follows = st.session_state.get(keys.STEP, shown.screen) == shown.screen
    if shown.sample and (before is None or shown.sample != before.sample):
        st.query_params["sample"] = shown.sample
    if shown.patch and (before is None or shown.patch != before.patch):
        st.query_params[PATCH] = state.patch = shown.patch


def class_bar() -> None:
    """For a student: the class, a hand to raise, a patch to show."""
    if student := visit().attends:
        with st.container(key="class_bar"):
            _attended(student)


@st.fragment(run_every=TEACHER_LOOKS)
def _led(teacher: Teacher) -> None:
    try:
        teacher.shown()
        seen = teacher.attendance()
    except VitvizError as error:
        _lost(error)
        return
    with st.popover(_summary(seen), icon=":material/groups:", key=keys.CLASS_MENU):
        _hands(teacher, seen)
        _patches(seen)
        _invitation(teacher)
        _end(teacher)


def _summary(seen: Attendance) -> str:
    hands = f" · :material/front_hand: {len(seen.hands)}" if seen.hands else ""
    patches = f" · :material/grid_on: {len(seen.patches)}" if seen.patches else ""
    return f"{seen.here}{hands}{patches}"


def _invitation(teacher: Teacher) -> None:
    """Code, link and QR code, for a projector."""
    server = urlsplit(str(st.context.url))
    tongue = "" if language() == ENGLISH else f"&{LANG}={language()}"
    folder = server.path.rstrip("/").rpartition("/")[0]
    link = f"{server.scheme}://{server.netloc}{folder}/{CLASS}?code={teacher.code}{tongue}"
    picture = segno.make(link, error="m").svg_data_uri(scale=5, border=2, light="white")
    st.html(
        f'<div class="invitation"><img alt="{t("classroom.qr")}" src="{picture}">'
        f"<p><b>{teacher.code}</b><span>{escape(link)}</span></p></div>"
    )
    if server.hostname in THIS_MACHINE:
        st.caption(t("classroom.this_machine"))


def _hands(teacher: Teacher, seen: Attendance) -> None:
    if not seen.hands:
        return
    names = ", ".join(as_words(name) or t("classroom.somebody") for name in seen.hands)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/front_hand: {names}")
        st.button(
            t("classroom.lower"), key=keys.LOWER_HANDS, on_click=_try, args=[teacher.lower_hands]
        )


def _patches(seen: Attendance) -> None:
    """Patches that students show; a click shows one to all."""
    if not seen.patches:
        return
    st.caption(t("classroom.patches"))
    with st.container(horizontal=True):
        for id, name, patch in seen.patches[:MOST_PATCHES]:
            label = f"{as_words(name) or t('classroom.somebody')}: {patch}"
            if st.button(label, icon=":material/grid_on:", key=keys.TAKE_PATCH.format(id)):
                st.query_params[PATCH] = visit().patch = patch
                st.rerun()


def _end(teacher: Teacher) -> None:
    with st.container(horizontal=True):
        st.download_button(
            t("classroom.answers"),
            partial(_answers, teacher, language()),
            f"vitviz-{teacher.code}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key=keys.ANSWERS,
        )
        ended = st.button(t("classroom.end"), icon=":material/stop:", key=keys.END_CLASS)
        if ended and tried(teacher.end):
            live_class.gone()
            st.rerun()
    st.caption(t("classroom.end_about"))


def _answers(teacher: Teacher, tongue: str) -> bytes:
    """All answers in words, as CSV that spreadsheets read; a download has no run that knows the
    language."""
    rows = []
    for key, student, option in teacher.answers():
        question = entry(key, tongue)
        right = option == question["right"]
        rows.append((key, question["ask"], student, question["options"][option], right))
    names = entry("classroom.column", tongue)
    columns = [names[name] for name in ("id", "question", "student", "answer", "right")]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False).encode("utf-8-sig")


@st.fragment(run_every=STUDENT_LOOKS)
def _attended(student: Student) -> None:
    state = visit()
    try:
        shown, up = student.here()
    except VitvizError as error:
        _lost(error)
        return
    if state.followed is None or _is_news(state.followed, shown):
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{student.code}**")
        st.session_state[keys.FOLLOW_TEACHER] = state.follows
        st.toggle(t("classroom.follow"), key=keys.FOLLOW_TEACHER, on_change=_change_pace)
        st.button(
            t("classroom.lower_mine" if up else "classroom.raise"),
            icon=":material/front_hand:",
            key=keys.RAISE_HAND,
            on_click=_try,
            args=[student.lower_hand if up else student.raise_hand],
        )
        patch = st.query_params.get(PATCH, state.patch)
        showing = st.button(
            t("classroom.show_patch"),
            icon=":material/grid_on:",
            key=keys.SHOW_PATCH,
            disabled=not is_patch(patch),
            help=None if is_patch(patch) else t("classroom.no_patch"),
        )
        if showing and tried(student.show_patch, patch):
            st.toast(t("classroom.patch_shown", patch=patch))
        if st.button(t("classroom.leave"), type="tertiary", key=keys.LEAVE_CLASS):
            live_class.leave()
            st.rerun()


def _is_news(before: Shown, shown: Shown) -> bool:
    """Whether the page must be made anew: of who walks alone, only if an answer was told."""
    return shown != before if visit().follows else shown.revealed != before.revealed


def _try(do: Callable[..., object], *given: object) -> None:
    """What a button does; it is said where it cannot be done."""
    tried(do, *given)


def _change_pace() -> None:
    visit().follows = st.session_state[keys.FOLLOW_TEACHER]
    visit().followed = None


def _lost(error: VitvizError) -> None:
    """The class has ended, or cannot be reached for now."""
    if isinstance(error, ClassError):
        live_class.gone()
        st.toast(explained(error))
        st.rerun()
    st.caption(explained(error))


def _shown(lesson: Lesson, number: int) -> Shown:
    patch = st.query_params.get(PATCH, visit().patch)
    return Shown(lesson.id, number, visit().sample or "", patch)


def _is_named(key: str) -> bool:
    """Whether a control has a value, or one in the address."""
    return key in st.session_state or key in st.query_params
