"""Where students join a live class."""

from __future__ import annotations

import streamlit as st

from vitviz.classroom.classroom import LONGEST_NAME
from vitviz.classroom.codes import read_code
from vitviz.errors import ClassError, VitvizError
from vitviz.ui.course.classroom import remember_class
from vitviz.ui.visit import keys, live_class
from vitviz.ui.visit.language import explained, language_switch, t
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import go_to


def page() -> None:
    """A code and, if one likes, a nickname; who is in a class goes to its lesson."""
    language_switch()
    st.title(t("classroom.title"), anchor=False)
    remember_class()
    if known := visit().teaches or visit().attends:
        _back(known.code)
        return
    st.markdown(t("classroom.join_about"))
    with st.form(keys.JOIN_FORM, width=440):
        code = st.text_input(
            t("classroom.code"), st.query_params.get("code", ""), 12, key=keys.CLASS_CODE
        )
        name = st.text_input(t("classroom.nickname"), max_chars=LONGEST_NAME, key=keys.NICKNAME)
        joined = st.form_submit_button(t("classroom.join"), type="primary", key=keys.JOIN)
    if joined:
        _join(code, name)
    st.caption(t("classroom.privacy"))
    st.caption(t("classroom.for_teachers"))


def _join(text: str, name: str) -> None:
    code = read_code(text)
    if code is None:
        st.error(t("classroom.no_code"), icon=":material/error:")
        return
    try:
        live_class.attend(code, name)
    except VitvizError as error:
        st.error(explained(error), icon=":material/error:")
    else:
        _to_the_lesson()


def _back(code: str) -> None:
    st.info(t("classroom.leads" if visit().teaches else "classroom.attends", code=code))
    with st.container(horizontal=True):
        if st.button(t("classroom.to_lesson"), type="primary", icon=":material/arrow_forward:"):
            _to_the_lesson()
        if visit().attends:
            st.button(t("classroom.leave"), on_click=live_class.leave, key=keys.LEAVE_CLASS)


def _to_the_lesson() -> None:
    known = visit().teaches or visit().attends
    assert known is not None
    try:
        shown = known.shown()
    except VitvizError as error:
        if isinstance(error, ClassError):
            live_class.gone()
        st.error(explained(error), icon=":material/error:")
    else:
        go_to(shown.lesson)
