"""What a visitor asks of a photo: the controls, and the words for it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from vitviz.errors import VitvizError
from vitviz.methods.explain import METHODS
from vitviz.methods.method import ChoiceOption, HeadOption, LayerOption, Option, WholeOption
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording
from vitviz.ui.controls.choice import choice
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import label, library_text, t
from vitviz.ui.visit.markdown import as_code

FIRST, MEAN = next(iter(METHODS)), "mean"


@dataclass(frozen=True)
class Question:
    """What the visitor asks: which method, from which token, for which class."""

    method: str
    query: Query
    options: dict[str, Any]
    classes: dict[str, int]

    @property
    def key(self) -> Hashable:
        """The same for equal questions."""
        parts = (*self.options.items(), *self.classes.items())
        return self.method, self.query, frozenset(parts)


def map_controls(rec: Recording) -> Question:
    """Method, class, the method's options and the query."""
    st.subheader(t("ask.heading"), anchor=False)
    method: str = choice(
        st.selectbox, t("ask.method"), methods_for(rec), FIRST, keys.METHOD, method_title
    )
    chosen = METHODS[method]
    st.caption(library_text(f"methods.{method}.question", chosen.question), help=chosen.reference)
    classes = class_controls(rec, method) if chosen.class_specific else {}
    options: dict[str, Any] = {}
    for name in chosen.options:
        options[name] = control(rec, method, name, options.get("layer", 0))
    query = query_control(rec) if chosen.has_query else "cls"
    return Question(method, query, options, classes)


def methods_for(rec: Recording) -> list[str]:
    """Ids of the methods, without those for heads that the model does not have."""
    return [id for id, method in METHODS.items() if rec.pool is not None or not method.needs_pool]


def class_controls(rec: Recording, method: str) -> dict[str, int]:
    """The class to explain, if not the top prediction, and, where the method compares two, the one
    it is compared with."""
    names = {p.label: p.index for p in rec.predictions}
    if not names:
        return {}
    top, of_scores = rec.predictions[0].label, rec.outputs == "score"
    hint = t("ask.first" if of_scores else "ask.top", label=label(top))
    name = t("ask.score" if of_scores else "ask.class")
    first = choice(st.selectbox, name, list(names), None, keys.TARGET, label, placeholder=hint)
    classes = {"target": names[first]} if first else {}
    if METHODS[method].contrastive:
        others = [name for name in names if name != (first or top)]
        hint = t("ask.any_other")
        second = choice(
            st.selectbox, t("ask.versus"), others, None, keys.VERSUS, label, placeholder=hint
        )
        if second is not None:
            classes["versus"] = names[second]
    return classes


def query_control(rec: Recording) -> Query:
    """The token that looks."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            t("ask.query"),
            placeholder=t("ask.class_token"),
            key=keys.QUERY,
            bind=URL,
            help=t("ask.query_help"),
        )
        st.button(
            t("ask.back_to_class_token"),
            icon=":material/undo:",
            on_click=lambda: st.session_state.update({keys.QUERY: ""}),
            disabled=not text,
        )
    return parse_query(rec, text)


def control(rec: Recording, method: str, name: str, layer: int) -> Any:
    """The widget for one option of a method; heads are those of `layer`."""
    option = METHODS[method].options[name]
    key, title = keys.OPTION.format(method, name), option_title(name, option)
    if isinstance(option, LayerOption):
        last = rec.num_layers - 1
        first = option.default % rec.num_layers  # always the same: the link leaves it out
        chosen: int = st.slider(title, 0, last, first, key=key, bind=URL) if last else 0
        if METHODS[method].raw_attention and rec.layouts:
            rows, cols = rec.layer_grid(chosen)
            st.caption(t(f"ask.kinds.{rec.kind(chosen).replace(' ', '_')}", rows=rows, cols=cols))
        return chosen
    if isinstance(option, HeadOption):
        heads = [MEAN, *map(str, range(rec.num_heads(layer)))]
        head = choice(st.pills, title, heads, MEAN, key, head_name, required=True)
        return None if head == MEAN else int(head)
    if isinstance(option, ChoiceOption):
        return choice(
            st.segmented_control,
            title,
            option.choices,
            option.default,
            key,
            value_name,
            required=True,
        )
    step = 1 if isinstance(option, WholeOption) else 0.05
    return st.slider(title, option.low, option.high, option.default, step, key=key, bind=URL)


def parse_query(rec: Recording, text: str) -> Query:
    """The query in the text field; anything that is not a patch of this grid is the class token."""
    try:
        row, col = map(int, text.split(","))
        rec.query_weights((row, col))
    except (ValueError, VitvizError):
        if text.strip().lower() not in ("", "cls"):
            rows, cols = rec.grid
            st.warning(t("ask.no_patch", text=as_code(text), row=rows - 1, col=cols - 1))
        return "cls"
    return row, col


def map_meaning(rec: Recording, question: Question) -> str:
    """What the numbers of the map tell, after the name of the method."""
    method, query = METHODS[question.method], question.query
    words = []
    if method.class_specific:
        labels = {p.index: label(p.label) for p in rec.predictions}
        target = question.classes.get("target", rec.predictions[0].index)
        words.append(t("meant.target", label=labels[target]))
        if "versus" in question.classes:
            words.append(t("meant.versus", label=labels[question.classes["versus"]]))
    if method.has_query and query == "cls":
        words.append(t("meant.from", token=cls_means(rec)))
    elif method.has_query:
        words.append(t("meant.from_patch", row=query[0], col=query[1]))
    return " ".join(words)


def click_hint(rec: Recording, question: Question) -> str:
    """One line below the photo: what a click does."""
    method = METHODS[question.method]
    if not method.has_query:
        kind = "whole_class" if method.class_specific else "no_token"
        return t(f"how.{kind}", method=method_title(method.id))
    if not rec.has_class_token:
        return t("how.no_class_token", meaning=cls_means(rec))
    return t("how.hover" if method.raw_attention else "how.click")


def cls_means(rec: Recording) -> str:
    """What the query "cls" stands for in this model."""
    if rec.has_class_token:
        return t("meant.class_token")
    return t("meant.average" if rec.pool is None else "meant.pooled")


def method_title(method: str) -> str:
    """A method's name in the visitor's language."""
    return library_text(f"methods.{method}.title", METHODS[method].title)


def option_title(name: str, option: Option) -> str:
    """An option's name in the visitor's language."""
    return library_text(f"options.{name}", option.title)


def value_name(value: str) -> str:
    """The word for one choice of an option."""
    return library_text(f"choices.{value}", value)


def typical_head(rec: Recording) -> tuple[int, int]:
    """A layer and a head to begin with: in the middle of the model, where a head compares its own
    surroundings with the rest; the bundled model's looks both ways and speaks for the answer."""
    layer = (rec.num_layers - 1) // 2
    return layer, min(1, rec.num_heads(layer) - 1)


def head_name(head: str) -> str:
    """A head's number, or the word for the mean of all."""
    return value_name(MEAN) if head == MEAN else head
