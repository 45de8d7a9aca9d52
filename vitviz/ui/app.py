"""Page configuration and navigation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from vitviz.ui.controls.photo_picker import keep_link
from vitviz.ui.course.lesson import Lesson
from vitviz.ui.course.page import lessons, show
from vitviz.ui.pages import compare, explore, heads
from vitviz.ui.visit.admission import admit
from vitviz.ui.visit.language import t, widget_words
from vitviz.ui.visit.memory import leave_out_imports
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.streamlit_private import limit_uploads, send_at_once

HERE = Path(__file__).parent
EXPLORE, COMPARE, HEADS = ":material/visibility:", ":material/balance:", ":material/grid_view:"


def main() -> None:
    """One run of the app: the page that the address names."""
    st.cache_resource(show_spinner=False)(send_at_once)()
    st.cache_resource(show_spinner=False)(limit_uploads)()
    st.cache_resource(show_spinner=False)(leave_out_imports)()
    st.set_page_config("Vitviz", page_icon=str(HERE / "logo.svg"), layout="wide")
    st.html(HERE / "page.css")
    st.html(widget_words())
    admit()
    page = st.navigation(
        {
            "": [
                st.Page(explore.page, title=t("nav.explore"), icon=EXPLORE, default=True),
                st.Page(compare.page, title=t("nav.compare"), icon=COMPARE, url_path="compare"),
                st.Page(heads.page, title=t("nav.heads"), icon=HEADS, url_path="heads"),
            ],
            t("nav.lessons"): [
                st.Page(
                    _page_of(lesson),
                    title=f"{lesson.number} · {lesson.text('title')}",
                    url_path=lesson.id,
                )
                for lesson in lessons()
            ],
        },
        position="top",
    )
    keep_link(page.url_path)
    page.run()
    visit().decoded = None  # no page needed it now


def _page_of(lesson: Lesson) -> Callable[[], None]:
    return lambda: show(lesson)
