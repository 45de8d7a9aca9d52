"""The terms of the course, each with the lesson that explains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from vitviz.ui.course.terms import GLOSSARY
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import entry, language_switch, t
from vitviz.ui.visit.order import NUMBERS

Term = dict[str, Any]  # name, forms, text, lesson


def page(lessons: Mapping[str, StreamlitPage]) -> None:
    """A field to search in, and the terms in the order of their names; the one that the address
    names comes first.

    Args:
        lessons: by their ids.
    """
    language_switch()
    st.title(t(f"{GLOSSARY}.title"), anchor=False)
    st.markdown(t(f"{GLOSSARY}.intro"))
    typed = st.text_input(t(f"{GLOSSARY}.search"), key=keys.TERM_SEARCH, max_chars=60)
    found = search(entry(f"{GLOSSARY}.terms"), typed)
    if not found:
        st.info(t(f"{GLOSSARY}.none"), icon=":material/search_off:")
    chosen = st.query_params.get(keys.TERM)
    with st.container(key="terms"):
        for term in sorted(found, key=lambda term: term != chosen):
            with st.container(border=term == chosen):
                _show(found[term], lessons)


def search(terms: Mapping[str, Term], typed: str) -> dict[str, Term]:
    """Those in whose name, forms or text all the words typed are, in the order of their names."""
    words = typed.casefold().split()

    def fits(term: Term) -> bool:
        text = " ".join([term["name"], *term["forms"], term["text"]]).casefold()
        return all(word in text for word in words)

    found = {id: term for id, term in terms.items() if fits(term)}
    return dict(sorted(found.items(), key=lambda item: in_order(item[1]["name"])))


def in_order(name: str) -> bytes:
    """What a name is sorted by: this encoding has the usual Chinese characters in the order of how
    they are pronounced."""
    return name.casefold().encode("gb18030")


def _show(term: Term, lessons: Mapping[str, StreamlitPage]) -> None:
    st.markdown(f"**{term['name']}**  \n{term['text']}")
    lesson = term["lesson"]
    st.page_link(lessons[lesson], label=t(f"{GLOSSARY}.lesson", number=NUMBERS[lesson]))
