"""What the app says, in the visitor's language."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

LANGUAGES = {"en": "English", "zh": "中文"}
FOLDER = Path(__file__).parent / "texts"
LANG = "lang"


@cache
def texts(language: str) -> dict[str, Any]:
    """Every text of one language, from its file texts/<language>.toml."""
    return tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))


def language() -> str:
    """The visitor's choice in the address or, first of all, their browser's language."""
    chosen = st.query_params.get(LANG) or st.session_state.get(LANG)
    if chosen not in LANGUAGES:
        chosen = "zh" if (st.context.locale or "").startswith("zh") else "en"
    st.session_state[LANG] = chosen
    return chosen


def entry(key: str) -> Any:
    """A text, list or table of the catalogue by its dotted key, such as tokens.check.0."""
    found: Any = texts(language())
    for part in key.split("."):
        found = found[int(part) if isinstance(found, list) else part]
    return found


def t(key: str, **values: object) -> str:
    """The text under a dotted key, with values in its {places}."""
    text: str = entry(key)
    return text.format(**values)


def language_switch() -> None:
    """A button for each other language; everything else stays as it is."""
    with st.container(key="language"):
        for other in LANGUAGES.keys() - {language()}:
            st.button(
                LANGUAGES[other],
                icon=":material/translate:",
                type="tertiary",
                key=f"to_{other}",
                on_click=st.query_params.update,
                args=({LANG: other},),
            )
