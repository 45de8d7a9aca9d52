"""What the app says, in the visitor's language."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from numbers import Number
from pathlib import Path
from typing import Any

import streamlit as st

from vitviz.errors import Phrase
from vitviz.methods.explain import METHODS
from vitviz.photos.load import MAX_BYTES
from vitviz.ui.visit import keys
from vitviz.ui.visit.markdown import as_words
from vitviz.ui.visit.order import NUMBERS
from vitviz.ui.visit.state import visit

LANG, ENGLISH = "lang", "en"
LANGUAGES = {ENGLISH: "English", "zh": "中文"}
FOLDER = Path(__file__).parent.parent / "texts"
LESSON = re.compile(r"\{lesson_(\w+)\}")


@cache
def texts(language: str) -> dict[str, Any]:
    """Every text of one language: those of texts/<language>.toml, and a lesson's under its id from
    a file of its own, texts/<language>/<id>.toml. {lesson_ID} is that lesson's number."""
    found = _read(FOLDER / f"{language}.toml")
    return found | {file.stem: _read(file) for file in sorted((FOLDER / language).glob("*.toml"))}


def _read(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    return tomllib.loads(LESSON.sub(lambda place: str(NUMBERS[place[1]]), text))


@cache
def class_names(language: str) -> dict[str, str]:
    """ImageNet's classes in one language by their English names, in the order of their indices."""
    return _read(FOLDER / f"{language}.labels.toml")


def language() -> str:
    """The visitor's."""
    return visit().language or choose_language()


def choose_language() -> str:
    """At the beginning of a run: the one in the address, or chosen earlier in this visit."""
    chosen = st.query_params.get(LANG) or visit().language
    visit().language = chosen if chosen in LANGUAGES else ENGLISH
    return visit().language


def entry(key: str, tongue: str | None = None) -> Any:
    """A text, list or table by its dotted key, such as tokens.check.0, as it is in the catalogue.

    Args:
        tongue: the language; None is the visitor's, which only a page's own run knows.
    """
    found: Any = texts(tongue or language())
    for part in key.split("."):
        found = found[int(part) if isinstance(found, list) else part]
    return found


def t(key: str, **values: object) -> str:
    """The text under a dotted key, with values in its {places}."""
    text: str = entry(key)
    return text.format(**values)


def library_text(key: str, english: str) -> str:
    """Words that the library has in English, in the visitor's language; in English where they have
    no translation."""
    try:
        return english if language() == ENGLISH else t(f"library.{key}")
    except KeyError:
        return english


def label(name: str) -> str:
    """A class's name in the visitor's language; its own where there is no translation."""
    return name if language() == ENGLISH else class_names(language()).get(name, name)


def explained(error: Phrase) -> str:
    """An error's sentence in the visitor's language, as Markdown in which nothing from outside is;
    in English where that language has none for it."""
    values = {place: _in_place(value) for place, value in error.values.items()}
    if language() == ENGLISH:
        return error.english.format(**values)
    try:
        template: str = entry("library.errors")[error.id]
        return template.format(**values)
    except (AttributeError, LookupError, TypeError, ValueError):  # none, or with other places
        return error.english.format(**values)


def _in_place(value: object) -> object:
    """What stands in a sentence's place: our words are translated, others' are no Markdown."""
    if isinstance(value, Phrase):
        return explained(value)
    if isinstance(value, Number):
        return value
    return _titles().get(str(value)) or as_words(str(value))


def _titles() -> dict[str, str]:
    """The visitor's words for the library's titles of methods and options."""
    titles = {
        method.title: library_text(f"methods.{method.id}.title", method.title)
        for method in METHODS.values()
    }
    return titles | {
        option.title: library_text(f"options.{name}", option.title)
        for method in METHODS.values()
        for name, option in method.options.items()
    }


def widget_words() -> str:
    """The style that gives page.css the words for Streamlit's own buttons: they are always English,
    and no widget takes others."""
    words = {name: t(f"widgets.{name}", size=MAX_BYTES >> 20) for name in entry("widgets")}
    rules = (f"--{name}: {json.dumps(text, ensure_ascii=False)};" for name, text in words.items())
    return f"<style>:root {{ {' '.join(rules)} }}</style>"


def language_switch() -> None:
    """A button for each other language; everything else stays as it is."""
    with st.container(key="language"):
        for other in LANGUAGES.keys() - {language()}:
            st.button(
                LANGUAGES[other],
                icon=":material/translate:",
                type="tertiary",
                key=keys.LANGUAGE.format(other),
                on_click=_change_language,
                args=(other,),
            )


def _change_language(other: str) -> None:
    st.query_params[LANG] = visit().language = other
