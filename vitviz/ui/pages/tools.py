"""The pages besides the lessons, for the navigation and for links to them."""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from vitviz.ui.pages import compare, explore, heads, journey
from vitviz.ui.visit.language import t

__all__ = ["tools"]

SHOWN = {"explore": explore, "journey": journey, "compare": compare, "heads": heads}
ICONS = {
    "explore": ":material/visibility:",
    "journey": ":material/conversion_path:",
    "compare": ":material/balance:",
    "heads": ":material/grid_view:",
}


def tools() -> dict[str, StreamlitPage]:
    """By their address."""
    return {
        name: st.Page(module.page, title=t(f"nav.{name}"), icon=ICONS[name], url_path=name)
        for name, module in SHOWN.items()
    }
