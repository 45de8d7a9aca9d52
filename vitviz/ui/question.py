"""What a visitor asks of a photo: the controls, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from vitviz.errors import VitvizError
from vitviz.methods import METHODS
from vitviz.methods.option import Choice, Head, Layer, Whole
from vitviz.recording import Query, Recording
from vitviz.ui.browser import URL
from vitviz.ui.photo_picker import as_code


@dataclass(frozen=True)
class Question:
    """What the visitor asks: which method, from which token, for which class."""

    method: str
    query: Query
    options: dict[str, Any]
    classes: dict[str, int]


def map_controls(rec: Recording) -> Question:
    """Method, class, the method's options and the query."""
    st.subheader("Where it looks", anchor=False)
    method = st.selectbox(
        "Method",
        list(METHODS),
        format_func=lambda key: METHODS[key].title,
        key="method",
        bind=URL,
    )
    chosen = METHODS[method]
    st.caption(chosen.question, help=chosen.reference)
    classes = class_controls(rec, method) if chosen.class_specific else {}
    options = {name: control(rec, method, name) for name in chosen.options}
    query = query_control(rec) if chosen.has_query else "cls"
    return Question(method, query, options, classes)


def class_controls(rec: Recording, method: str) -> dict[str, int]:
    """The class to explain, if not the top prediction, and, where the method compares two, the one
    it is compared with."""
    names = {p.label: p.index for p in rec.predictions}
    if not names:
        return {}
    top = rec.predictions[0].label
    held = st.session_state.get("target")
    if held is not None and held not in names:  # of another model
        del st.session_state["target"]
    hint = f"{top} (the top prediction)"
    first = st.selectbox("Class", list(names), None, placeholder=hint, key="target", bind=URL)
    classes = {"target": names[first]} if first else {}
    if METHODS[method].contrastive:
        others = [name for name in names if name != (first or top)]
        if st.session_state.get("versus") == (first or top):
            st.session_state["versus"] = None
        second = st.selectbox(
            "Rather than", others, None, placeholder="any other class", key="versus", bind=URL
        )
        if second is not None:
            classes["versus"] = names[second]
    return classes


def query_control(rec: Recording) -> Query:
    """The token that looks."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Query",
            placeholder="class token",
            key="query",
            bind=URL,
            help="The token that looks: click a patch, or type its row and column such as 5,7; "
            "leave it empty (or cls) for the class token.",
        )
        st.button(
            "Class token",
            icon=":material/undo:",
            on_click=lambda: st.session_state.update(query=""),
            disabled=not text,
        )
    return parse_query(rec, text)


def control(rec: Recording, method: str, name: str) -> Any:
    """The widget for one option of a method."""
    option = METHODS[method].options[name]
    key = f"{method}_{name}"
    if isinstance(option, Layer):
        last = rec.num_layers - 1
        first = option.default % rec.num_layers  # always the same: the link leaves it out
        return st.slider(option.title, 0, last, first, key=key, bind=URL)
    if isinstance(option, Head):
        heads = ["mean", *map(str, range(rec.num_heads(0)))]
        head = st.pills(option.title, heads, default="mean", required=True, key=key, bind=URL)
        return None if head in (None, "mean") else int(head)
    if isinstance(option, Choice):
        return st.segmented_control(
            option.title, option.choices, default=option.default, required=True, key=key, bind=URL
        )
    step = 1 if isinstance(option, Whole) else 0.05
    return st.slider(option.title, option.low, option.high, option.default, step, key=key, bind=URL)


def parse_query(rec: Recording, text: str) -> Query:
    """The query in the text field; anything that is not a patch of this grid is the class token."""
    try:
        row, col = map(int, text.split(","))
        rec.query_weights((row, col))
    except (ValueError, VitvizError):
        if text.strip().lower() not in ("", "cls"):
            rows, cols = rec.grid
            st.warning(f"{as_code(text)} is not a patch; use cls or 0,0 to {rows - 1},{cols - 1}.")
        return "cls"
    return row, col


def meant(rec: Recording, question: Question) -> str:
    """What the numbers of the map tell, after the name of the method."""
    method, query = METHODS[question.method], question.query
    words = []
    if method.class_specific:
        labels = {p.index: p.label for p in rec.predictions}
        words.append(f"for {labels[question.classes.get('target', rec.predictions[0].index)]}")
        if "versus" in question.classes:
            words.append(f"rather than {labels[question.classes['versus']]}")
    if method.has_query and query == "cls":
        words.append(f"from {rec.cls_means}")
    elif method.has_query:
        words.append(f"from the patch in row {query[0]}, column {query[1]}")
    return " ".join(words)


def how_to_ask(rec: Recording, question: Question) -> str:
    """One line below the photo: what a click does."""
    method = METHODS[question.method]
    if not method.has_query:
        whole = "explains the class as a whole" if method.class_specific else "asks for no token"
        return f"{method.title} {whole}; it does not start from a patch."
    if not rec.has_class_token:
        return f"This model has no class token: “cls” stands for {rec.cls_means}."
    if question.method == "attention":
        return "Hover over a patch to see where it looks; click or tap to keep it."
    return "Click or tap a patch to start from it, and again for the class token."
