"""The journey of a photo, as the library's own component shows it."""

from __future__ import annotations

import streamlit as st

from vitviz.journey.document import Arrays, Document, cls_document, named_arrays
from vitviz.journey.page import bundle, palette, stylesheet, words
from vitviz.ui.parts.browser import FOLDER, numbers_address
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import explained, label, language
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.turns import turn

MOST_NAMES = 16  # that are answered at once

_component = st.components.v2.component(
    "vitviz_journey",
    html='<div class="journey-root"></div>',
    css=stylesheet(),
    js=bundle() + (FOLDER / "journey.js").read_text(encoding="utf-8"),
)


def show_journey(session: Session) -> None:
    """Show it; what the browser asks for, such as one block's queries and keys, is sent with the
    run that the question starts, and kept by the browser.

    Raises:
        MethodError: if in some layer of the model it is not tokens that look at tokens.
    """
    document = journey_document(session)
    header = document.header | {
        "missing": {  # no Markdown is read there
            name: explained(error).replace("`", "") for name, error in document.missing.items()
        }
    }
    header["labels"] = {index: label(name) for index, name in header["labels"].items()}
    found = _found(session, _asked())
    addresses = _addresses(document.arrays, "journey") | _addresses(found, "asked")
    _component(
        data={
            "recording": session.rec.input_hash + session.rec.vit.name + language(),
            "header": header,
            "words": words("zh" if language() == "zh" else "en"),
            "palette": palette(),
            "addresses": addresses,
        },
        key=keys.JOURNEY,
        on_ask_change=lambda: None,
    )


def journey_document(session: Session) -> Document:
    """A sample's is shared, so no lock may be held while it is made."""
    found: Document | None = session.results.find("journey")
    if found is None:
        with turn():
            found = session.results.keep("journey", cls_document(session.rec))
    return found


def _asked() -> object:
    return st.session_state.get(keys.JOURNEY, {}).get("ask")


def _found(session: Session, names: object) -> Arrays:
    """What was asked for; the question comes from the browser and may be anything."""
    if not names or not isinstance(names, list):
        return {}
    with turn():
        return named_arrays(session.rec, names[:MOST_NAMES])


def _addresses(arrays: Arrays, place: str) -> dict[str, str]:
    return {
        name: numbers_address(values.tobytes(), f"{place} {number}")
        for number, (name, values) in enumerate(arrays.items())
    }
