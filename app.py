"""Streamlit entry: page configuration and navigation."""

import streamlit as st

from vitviz.ui import explore

st.set_page_config("Vitviz", page_icon=":material/visibility:", layout="wide")
st.navigation(
    [st.Page(explore.page, title="Explore", icon=":material/visibility:", default=True)],
    position="top",
).run()
