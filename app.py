"""Streamlit entry: page configuration and navigation."""

from pathlib import Path

import streamlit as st

from vitviz.ui import explore

LOGO = Path(__file__).parent / "assets" / "logo.svg"

st.set_page_config("Vitviz", page_icon=str(LOGO), layout="wide")
st.html(Path(explore.__file__).with_name("page.css"))
st.navigation(
    [st.Page(explore.page, title="Explore", icon=":material/visibility:", default=True)],
    position="top",
).run()
