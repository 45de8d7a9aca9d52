"""What the app keeps of its visitor, seen through Streamlit's AppTest."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

import vitviz
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import VISIT, Visit


def visit(app: AppTest) -> Visit:
    return app.session_state[VISIT]


def session(app: AppTest) -> Session:
    """Of the page's photo."""
    return visit(app).recorded["main"]


def recording(app: AppTest) -> vitviz.Recording:
    return session(app).rec


def answer(app: AppTest) -> vitviz.Heatmap:
    """The map that Explore shows."""
    return recording(app).derived.last("answer")
