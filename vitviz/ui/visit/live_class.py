"""The live class that a visitor leads or attends, which a reload does not end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from vitviz.classroom.classroom import Shown, Student, Teacher, open_class
from vitviz.classroom.codes import read_code
from vitviz.classroom.store import Store, store_of_this_server
from vitviz.errors import ClassError, VitvizError
from vitviz.ui.visit.language import explained
from vitviz.ui.visit.state import visit

__all__ = [
    "attend",
    "begin",
    "came_back",
    "classes",
    "forget_old_classes",
    "gone",
    "leave",
    "tried",
]

LONGEST_ID = 40  # letters


@st.cache_resource(show_spinner=False)
def classes() -> Store:
    """All live classes of this server."""
    return store_of_this_server()


def forget_old_classes() -> None:
    """Those whose teacher left long ago; nobody may ask for any any more."""
    with suppress(VitvizError):  # said where classes are used
        classes().forget_old()


def tried(do: Callable[..., object], *given: object) -> bool:
    """Do something in a class, and say it where it cannot be done; whether it was."""
    try:
        do(*given)
    except VitvizError as error:
        st.toast(explained(error), icon=":material/cloud_off:")
        return False
    return True


def begin(shown: Shown) -> None:
    """Open a class; who attends one leaves it."""
    teacher = open_class(classes(), shown)
    leave()
    visit().teaches = teacher
    visit().class_kept = {"code": teacher.code, "secret": teacher.secret}


def attend(code: str, name: str) -> None:
    """Join a class. What was answered before it is asked anew.

    Raises:
        ClassError: if there is none with this code, or it is full.
    """
    student = Student.join(code, classes(), name)
    leave()
    visit().answers.clear()
    visit().attends = student
    visit().class_kept = {"code": code, "id": student.id, "name": student.name}


def came_back(found: object) -> bool:
    """Whether the visitor now leads or attends a class again, by what the browser kept of it.

    Raises:
        VitvizError: if classes cannot be reached.
    """
    state = visit()
    if state.class_asked or not isinstance(found, dict) or state.teaches or state.attends:
        return False
    typed, secret, id, name = (str(found.get(key, "")) for key in ("code", "secret", "id", "name"))
    code = read_code(typed)
    try:
        if code and secret:
            state.teaches = Teacher.of(code, secret, classes())
        elif code and id.isascii() and id.isprintable() and 0 < len(id) <= LONGEST_ID:
            state.attends = Student.join(code, classes(), name, id)
    except ClassError:  # it has ended
        state.class_kept = {}
    state.class_asked = True
    return bool(state.teaches or state.attends)


def leave() -> None:
    """Be in no class any more; a class that the visitor leads goes on."""
    if student := visit().attends:
        with suppress(VitvizError):
            student.leave()
    gone()


def gone() -> None:
    """The class has ended, or was left."""
    state = visit()
    state.teaches = state.attends = state.followed = None
    state.follows, state.class_kept, state.class_asked = True, {}, True
    state.handed_in.clear()
