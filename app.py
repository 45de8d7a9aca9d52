"""Streamlit entry: page configuration and navigation."""

from pathlib import Path

import streamlit as st

from vitviz.ui import compare, explore, heads
from vitviz.ui.photo_picker import keep_sample
from vitviz.ui.server import send_at_once

LOGO = Path(__file__).parent / "assets" / "logo.svg"

st.cache_resource(show_spinner=False)(send_at_once)()
st.set_page_config("Vitviz", page_icon=str(LOGO), layout="wide")
st.html(Path(explore.__file__).with_name("page.css"))
page = st.navigation(
    [
        st.Page(explore.page, title="Explore", icon=":material/visibility:", default=True),
        st.Page(compare.page, title="Compare", icon=":material/balance:", url_path="compare"),
        st.Page(heads.page, title="Heads", icon=":material/grid_view:", url_path="heads"),
    ],
    position="top",
)
keep_sample(page.url_path)
page.run()
