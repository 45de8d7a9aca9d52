"""Streamlit entry: page configuration and navigation."""

from pathlib import Path

import streamlit as st

from vitviz.ui import compare, explore, heads
from vitviz.ui.language import t, widget_words
from vitviz.ui.lesson import lessons
from vitviz.ui.photo_picker import keep_link
from vitviz.ui.server import send_at_once

LOGO = Path(__file__).parent / "assets" / "logo.svg"

st.cache_resource(show_spinner=False)(send_at_once)()
st.set_page_config("Vitviz", page_icon=str(LOGO), layout="wide")
st.html(Path(explore.__file__).with_name("page.css"))
st.html(widget_words())
EXPLORE, COMPARE, HEADS = ":material/visibility:", ":material/balance:", ":material/grid_view:"
page = st.navigation(
    {
        "": [
            st.Page(explore.page, title=t("nav.explore"), icon=EXPLORE, default=True),
            st.Page(compare.page, title=t("nav.compare"), icon=COMPARE, url_path="compare"),
            st.Page(heads.page, title=t("nav.heads"), icon=HEADS, url_path="heads"),
        ],
        t("nav.lessons"): [
            st.Page(
                lesson.page, title=f"{lesson.number} · {lesson.text('title')}", url_path=lesson.id
            )
            for lesson in lessons()
        ],
    },
    position="top",
)
keep_link(page.url_path)
page.run()
