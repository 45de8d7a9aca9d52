"""A lesson: short steps with words on one side and live widgets on the other.

A lesson file defines LESSON. Its texts are in the catalogue under the lesson's id: title, goal,
a table for each step (title, text, and guess where the step asks one), try, and check, a list of
three questions. A question has ask, options, right (an index) and why, one sentence per option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from vitviz.errors import VitvizError
from vitviz.ui.browser import URL
from vitviz.ui.language import entry, explained, language, language_switch, t
from vitviz.ui.photo_picker import as_code, choose_photo
from vitviz.ui.session import Session, analyse
from vitviz.ui.worksheet import worksheet
from vitviz.zoo import bundled_models

TRY, CHECK = "try", "check"


@dataclass(frozen=True)
class Step:
    """One screen.

    Attributes:
        id: of its texts.
        show: draws its widgets.
        guess: whether the visitor answers a question before the widgets appear.
        formula: LaTeX that the words refer to; its lines end with two backslashes.
        results: LaTeX of what is to be found out, for worksheets with answers.
    """

    id: str
    show: Callable[[Session], None]
    guess: bool = False
    formula: str = ""
    results: str = ""


@dataclass(frozen=True)
class Lesson:
    """A page of the course.

    Attributes:
        number: its place in the course.
        id: its address, and the key of its texts.
        steps: in order.
        task: the widgets of the task at the end.
        papers: address by title.
    """

    number: int
    id: str
    steps: tuple[Step, ...]
    task: Callable[[Session], None]
    papers: Mapping[str, str]

    @property
    def screens(self) -> list[str]:
        """The steps' ids, then the task and the self-check."""
        return [*(step.id for step in self.steps), TRY, CHECK]

    def text(self, key: str, **values: object) -> str:
        """One of its own texts."""
        return t(f"{self.id}.{key}", **values)

    def page(self) -> None:
        """The lesson on one's own photo, one step at a time."""
        language_switch()
        with st.container(key="presenting" if is_presenting() else "lesson"):
            self._head()
            photo = choose_photo()
            stage = st.container(key="stage")
            number = self._walk()
            with stage:
                try:
                    session = analyse(photo.data, bundled_models()[0])
                    self._screen(session, self.screens[number - 1])
                except VitvizError as error:
                    st.error(f"{as_code(photo.name)}: {explained(error)}", icon=":material/error:")

    def _head(self) -> None:
        """Title and goal, presenter and worksheets."""
        with st.container(horizontal=True, vertical_alignment="center", key="lesson_head"):
            st.title(f"{self.number} · {self.text('title')}", anchor=False)
            st.toggle(t("lesson.present"), key="present", bind=URL)
            with st.popover(t("lesson.worksheet"), icon=":material/print:", key="worksheets"):
                for answers in (False, True):
                    kind = "answers" if answers else "blanks"
                    st.download_button(
                        t(f"lesson.with_{kind}"),
                        partial(worksheet, self, answers=answers, tongue=language()),
                        f"vitviz-{self.number}-{self.id}-{kind}.html",
                        "text/html",
                        on_click="ignore",
                        key=f"worksheet_{kind}",
                    )
        if not is_presenting():
            st.caption(f"**{t('lesson.goal')}** {self.text('goal')}")

    def _screen(self, session: Session, screen: str) -> None:
        """Words on the left, widgets on the right; on a phone one below the other."""
        if screen == CHECK:
            self._check()
            return
        words, widgets = st.columns([4, 5] if is_presenting() else [2, 3], gap="large")
        step = next((s for s in self.steps if s.id == screen), Step(TRY, self.task))
        with words:
            heading = t("lesson.try") if screen == TRY else self.text(f"{screen}.title")
            st.subheader(heading, anchor=False)
            st.markdown(self.text(TRY if screen == TRY else f"{screen}.text"))
            if step.formula:
                st.latex(step.formula)
            known = not step.guess or self._guess(screen, widgets)
        if known:
            with widgets:
                step.show(session)

    def _guess(self, screen: str, widgets: DeltaGenerator) -> bool:
        """The question before the widgets: whether they may appear. A presenter's, in large type,
        stands where they come, and makes room for them once it is answered right."""
        key = f"{self.id}.{screen}.guess"
        if not is_presenting():
            if known := ask(key, t("lesson.guess")):
                return known
            widgets.info(t("lesson.answer_first"), icon=":material/visibility_off:")
        elif answered(key) == entry(key)["right"]:
            feedback(key)
            return True
        else:
            with widgets:
                ask(key, t("lesson.guess"))
        return False

    def _check(self) -> None:
        """Three questions side by side, and what to read."""
        st.subheader(t("lesson.check"), anchor=False)
        for number, column in enumerate(st.columns(len(entry(f"{self.id}.{CHECK}")), gap="medium")):
            with column:
                ask(f"{self.id}.{CHECK}.{number}", f"{number + 1}.")
        st.subheader(t("lesson.papers"), anchor=False)
        st.markdown("\n".join(f"- [{title}]({url})" for title, url in self.papers.items()))

    def _walk(self) -> int:
        """Back, the steps, next; a presenter walks with the arrow keys."""
        if st.session_state.get("lesson") != self.id:  # another one starts at its first step
            st.session_state.pop("step", None)
            st.session_state["lesson"] = self.id
        last = len(self.screens)
        presenting = is_presenting()
        with st.container(
            horizontal=True, horizontal_alignment="center", vertical_alignment="center", key="walk"
        ):
            back = st.container(width="content")
            chosen = st.segmented_control(
                t("lesson.step"),
                range(1, last + 1),
                default=None if "step" in st.session_state else 1,  # either, not both
                required=True,
                key="step",
                bind=URL,
                label_visibility="collapsed",
            )
            number = chosen or 1
            back.button(
                t("lesson.back"),
                icon=":material/arrow_back:",
                key="back",
                disabled=number == 1,
                shortcut="Left" if presenting else None,
                on_click=lambda: st.session_state.update(step=number - 1),
            )
            st.button(
                t("lesson.next"),
                icon=":material/arrow_forward:",
                icon_position="right",
                type="primary",
                key="next",
                disabled=number == last,
                shortcut="Right" if presenting else None,
                on_click=lambda: st.session_state.update(step=number + 1),
            )
        return number


def is_presenting() -> bool:
    """Large type and arrow keys, by the switch or the address."""
    return bool(st.session_state.get("present", st.query_params.get("present") == "true"))


def ask(key: str, heading: str) -> bool:
    """A question with its answers; says what is right or wrong about the chosen one.

    Returns:
        Whether it was answered.
    """
    question: dict[str, Any] = entry(key)
    st.radio(
        f"**{heading}** {question['ask']}",
        range(len(question["options"])),
        index=answered(key),
        format_func=question["options"].__getitem__,
        key=key,
    )
    feedback(key)
    return answered(key) is not None


def answered(key: str) -> int | None:
    """Which answer was chosen: it outlives a move to another step."""
    given: dict[str, int | None] = st.session_state.setdefault("answers", {})
    if key in st.session_state:
        given[key] = st.session_state[key]
    return given.get(key)


def feedback(key: str) -> None:
    """What is right or wrong about the chosen answer."""
    question, answer = entry(key), answered(key)
    if answer is None:
        return
    if answer == question["right"]:
        st.success(question["why"][answer], icon=":material/check:")
    else:
        st.warning(question["why"][answer], icon=":material/close:")


def lessons() -> list[Lesson]:
    """Every lesson in the folder, in the order of their numbers."""
    folder = Path(__file__).with_name("lessons")
    modules = (f"vitviz.ui.lessons.{module.name}" for module in iter_modules([str(folder)]))
    found: list[Lesson] = [import_module(name).LESSON for name in modules]
    return sorted(found, key=lambda lesson: lesson.number)
