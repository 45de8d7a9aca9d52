"""A lesson on the page: one step at a time, for one or for a class."""

from __future__ import annotations

from functools import cache, partial
from importlib import import_module

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from vitviz.errors import VitvizError
from vitviz.ui.controls.photo_picker import choose_photo
from vitviz.ui.course.asking import ask, is_answered, is_right, is_settled, recall, why_hidden
from vitviz.ui.course.classroom import (
    class_bar,
    class_menu,
    follow,
    lead,
    remember_class,
    resume,
)
from vitviz.ui.course.exam import EXAM
from vitviz.ui.course.lesson import CHECK, TRY, Lesson
from vitviz.ui.course.terms import words
from vitviz.ui.course.worksheet import worksheet
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.course_map import course_map
from vitviz.ui.parts.screen import fit_screen
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import analyse
from vitviz.ui.visit.language import entry, explained, language, language_switch, t
from vitviz.ui.visit.markdown import as_code
from vitviz.ui.visit.order import COURSE, NUMBERS, following
from vitviz.ui.visit.presenting import is_presenting
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import go_to
from vitviz.zoo.load import bundled_models


def show(lesson: Lesson) -> None:
    """The lesson on one's own photo, one step at a time."""
    language_switch()
    remember_class()
    _enter(lesson)
    with st.container(key="presenting" if is_presenting() else "lesson"):
        _head(lesson)
        class_bar()
        gallery, stage = st.container(key="lesson_gallery"), st.container(key="stage")
        number = _walk(lesson)
        screen = lesson.screens[number - 1]
        with gallery:
            photo = choose_photo(lesson.step(screen).sample)
        lead(lesson, number)
        with stage:
            try:
                session = analyse(photo, bundled_models()[0])
                _screen(lesson, session, screen)
            except VitvizError as error:
                st.error(f"{as_code(photo.name)}: {explained(error)}", icon=":material/error:")


def _enter(lesson: Lesson) -> None:
    """Another lesson starts at its first step, in a live class at the teacher's."""
    if visit().lesson != lesson.id:
        st.session_state.pop(keys.STEP, None)
        visit().lesson = lesson.id
    resume(lesson)
    follow(lesson)


def _head(lesson: Lesson) -> None:
    """Title and goal, presenter, worksheets and live class."""
    with st.container(horizontal=True, vertical_alignment="center", key="lesson_head"):
        st.title(f"{lesson.number} · {lesson.text('title')}", anchor=False)
        if visit().attends is None or is_presenting():
            st.toggle(t("lesson.present"), key=keys.PRESENT, bind=URL)
        if visit().attends is None:  # who is in a class needs the room, on a phone above all
            _menus(lesson)
        class_menu(lesson)
    if not is_presenting() and visit().attends is None:
        st.caption(f"**{t('lesson.goal')}** {lesson.text('goal')}{_done(lesson)}")


def _done(lesson: Lesson) -> str:
    """How many of its questions are answered, if any is."""
    done = sum(map(is_answered, lesson.questions))
    return f" · {t('lesson.done', done=done, count=len(lesson.questions))}" if done else ""


def _menus(lesson: Lesson) -> None:
    """The course's map, worksheets and notebook."""
    with st.popover(t("course_map.menu"), icon=":material/map:", key=keys.MAP_MENU):
        course_map(lesson.id, "menu")
    with st.popover(t("lesson.worksheet"), icon=":material/print:", key=keys.WORKSHEETS):
        for answers in (False, True):
            kind = "answers" if answers else "blanks"
            st.download_button(
                t(f"lesson.with_{kind}"),
                partial(worksheet, lesson, answers=answers, tongue=language()),
                f"vitviz-{lesson.number}-{lesson.id}-{kind}.html",
                "text/html",
                on_click="ignore",
                key=keys.WORKSHEET.format(kind),
            )
        if lesson.notebook:
            st.download_button(
                t("lesson.notebook"),
                lesson.notebook.read_bytes,
                f"vitviz-{lesson.number}-{lesson.id}.ipynb",
                "application/x-ipynb+json",
                on_click="ignore",
                key=keys.NOTEBOOK,
            )


def _screen(lesson: Lesson, session: Session, screen: str) -> None:
    """Words on the left, widgets on the right; on a phone one below the other."""
    if screen == CHECK:
        _check(lesson)
        return
    said, widgets = st.columns([4, 7] if is_presenting() else [2, 3], gap="large")
    step = lesson.step(screen)
    with said:
        heading = t("lesson.try") if screen == TRY else lesson.text(f"{screen}.title")
        st.subheader(heading, anchor=False)
        st.markdown(words(lesson, screen, language()))
        if step.formula:
            st.latex(step.formula)
        known = not step.guess or _guess(lesson, screen, widgets)
    if known:
        with widgets:
            step.show(session)


def _guess(lesson: Lesson, screen: str, widgets: DeltaGenerator) -> bool:
    """The question before the widgets: whether they may appear. A presenter's, in large type,
    stands where they come, and moves to the words once it is answered right."""
    key = f"{lesson.id}.{screen}.guess"
    if not is_presenting():
        if known := ask(key, t("lesson.guess")):
            return known
        widgets.info(why_hidden(key), icon=":material/visibility_off:")
    elif is_settled(key):
        with st.container(key=keys.ANSWERED.format("guess")):
            recall(key, t("lesson.guess"))
        return True
    else:
        with widgets:
            ask(key, t("lesson.guess"))
    return False


def _check(lesson: Lesson) -> None:
    """Three questions side by side, and what to read; then what is known now, and the way on."""
    st.subheader(t("lesson.check"), anchor=False)
    known = []
    columns = st.columns(len(lesson.checks), gap="medium")
    for number, (key, column) in enumerate(zip(lesson.checks, columns, strict=True), start=1):
        with column:
            known.append(_checked(key, number))
    if all(known):
        _recap(lesson)
    papers = " · ".join(f"[{title}]({url})" for title, url in lesson.papers.items())
    st.markdown(f":small[**{t('lesson.papers')}** {papers}]")


def _checked(key: str, number: int) -> bool:
    """A question of the self-check: whether the lesson may go on. For a class, it gets small once
    it is settled."""
    if not is_presenting():
        return ask(key, f"{number}.")
    if settled := is_settled(key):
        with st.container(key=keys.ANSWERED.format(number)):
            recall(key, f"{number}.")
    else:
        ask(key, f"{number}.")
    return settled


def _recap(lesson: Lesson) -> None:
    """What the visitor knows now, how many answers were right, and the way on."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(t("lesson.known"), anchor=False)
        if visit().teaches is None:
            _score(lesson)
        if not (visit().attends and visit().follows):
            _on(lesson)
    st.markdown("\n".join(f"- {sentence}" for sentence in entry(f"{lesson.id}.recap")))


def _score(lesson: Lesson) -> None:
    guesses, checks = (sum(map(is_right, of)) for of in (lesson.guesses, lesson.checks))
    counts = {"guessed": len(lesson.guesses), "checked": len(lesson.checks)}
    st.caption(t("lesson.score", guesses=guesses, checks=checks, **counts))


def _on(lesson: Lesson) -> None:
    """The way to the next lesson; from the last one to the exam."""
    page = following(lesson.id)
    if page is None:
        page, label = EXAM, t(f"{EXAM}.title")
    else:
        label = t("lesson.on", number=NUMBERS[page], title=t(f"{page}.title"))
    if st.button(
        label, icon=":material/arrow_forward:", icon_position="right", type="primary", key=keys.ON
    ):
        go_to(page)


def _walk(lesson: Lesson) -> int:
    """Back, the steps, next; a presenter walks with the arrow keys."""
    last = len(lesson.screens)
    presenting = is_presenting()
    with st.container(
        horizontal=True, horizontal_alignment="center", vertical_alignment="center", key="walk"
    ):
        back = st.container(width="content")
        chosen = st.segmented_control(
            t("lesson.step"),
            range(1, last + 1),
            default=1,
            required=True,
            key=keys.STEP,
            bind=URL,
            label_visibility="collapsed",
        )
        number = chosen or 1
        back.button(
            t("lesson.back"),
            icon=":material/arrow_back:",
            key=keys.BACK,
            disabled=number == 1,
            shortcut="Left" if presenting else None,
            on_click=lambda: st.session_state.update({keys.STEP: number - 1}),
        )
        st.button(
            t("lesson.next"),
            icon=":material/arrow_forward:",
            icon_position="right",
            type="primary",
            key=keys.NEXT,
            disabled=number == last,
            shortcut="Right" if presenting else None,
            on_click=lambda: st.session_state.update({keys.STEP: number + 1}),
        )
    fit_screen(f"{lesson.id} {number}")
    return number


@cache
def lessons() -> list[Lesson]:
    """Every lesson, in order."""
    return [import_module(f"vitviz.ui.lessons.{name}").LESSON for name in COURSE]
