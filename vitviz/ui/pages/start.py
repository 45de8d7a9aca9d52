"""The start page: what this is, a photo on its way through the model, and where to go from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from vitviz.errors import VitvizError
from vitviz.ui.controls.model_picker import MODEL
from vitviz.ui.controls.photo_picker import choose_photo
from vitviz.ui.parts.course_map import course_map
from vitviz.ui.parts.journey import show_journey
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import analyse
from vitviz.ui.visit.language import explained, language_switch, t
from vitviz.ui.visit.markdown import as_code
from vitviz.zoo.catalogue import BUNDLED

PICTURES = Path(__file__).parent.parent / "lessons" / "pictures"
# In links of Explore, which was at this address before.
EXPLORES = {keys.METHOD, keys.QUERY, keys.SHEET_VIEW, keys.STRENGTH, keys.COLOURS, keys.WHOLE}
EXPLORES |= {keys.ATTENTION_LAYER, keys.ATTENTION_HEAD, keys.TARGET, keys.VERSUS, MODEL}
EXPLORES |= {keys.SMOOTH, keys.SHARED_SCALE, keys.ARTEFACTS}


@dataclass(frozen=True)
class Card:
    """A lesson on the start page.

    Attributes:
        page: where it leads.
        minutes: about how long it takes.
        done: how many of its questions the visitor has answered.
        questions: how many it has.
    """

    page: StreamlitPage
    minutes: int
    done: int
    questions: int


def page(
    tools: Mapping[str, StreamlitPage],
    lessons: Mapping[str, Card],
    around: Iterable[StreamlitPage],
) -> None:
    """One sentence, the journey of a photo, and every other page.

    Args:
        tools: by their address.
        lessons: by their address, in order.
        around: the pages around the lessons.
    """
    if EXPLORES & st.query_params.keys():
        st.switch_page(tools["explore"], query_params=st.query_params.to_dict())
    language_switch()
    st.title(t("start.title"), anchor=False)
    st.markdown(t("start.sentence"))
    first = next(iter(lessons.values()))
    with st.container(key="start_begin"):
        st.page_link(first.page, label=t("start.begin"), icon=":material/school:")
    with st.container(key="start_photos"):
        photo = choose_photo()
    with st.container(key="start_journey"):
        try:
            show_journey(analyse(photo, BUNDLED))
        except VitvizError as error:
            st.error(f"{as_code(photo.name)}: {explained(error)}", icon=":material/error:")
    with st.container(key="start_pages"):
        _tools(tools)
        _course(lessons, around)


def _tools(tools: Mapping[str, StreamlitPage]) -> None:
    """Each page as the question that it answers."""
    st.subheader(t("start.tools"), anchor=False)
    with st.container(key="start_tools"):
        for name, tool in tools.items():
            with st.container(border=True, height="stretch"):
                st.page_link(tool)
                st.caption(t(f"start.{name}"))


def _course(lessons: Mapping[str, Card], around: Iterable[StreamlitPage]) -> None:
    """The lessons with a picture, how long they take and what is done, and what there is around
    them."""
    st.subheader(t("start.course"), anchor=False)
    course_map(None, "start")
    with st.container(horizontal=True, key="start_around"):
        for page in around:
            st.page_link(page)
    with st.container(key="start_lessons"):
        for name, lesson in lessons.items():
            with st.container(border=True, height="stretch"):
                st.image(
                    PICTURES / f"{name}.webp", width="stretch", alt=t(f"start.pictures.{name}")
                )
                st.page_link(lesson.page)
                minutes = t("start.minutes", minutes=lesson.minutes)
                done = t("lesson.done", done=lesson.done, count=lesson.questions)
                st.caption(f"{minutes} · {done}" if lesson.done else minutes)
