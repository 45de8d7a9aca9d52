"""What the lessons on words share: the text model, and the sentence that they follow."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import streamlit as st
from torch import Tensor

from vitviz.errors import VitvizError
from vitviz.memo import Memo
from vitviz.text.model import TextModel, load_text_model
from vitviz.text.record import TextRecording, record_text, text_vectors
from vitviz.ui.course.widgets import run_once
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import explained, t
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit

MOST_LETTERS = 160  # of the sentence that is followed
MOST_LINES = 20  # of a field for several
KEPT = 12  # texts with a photo


def in_words(show: Callable[[Session], None]) -> Callable[[Session], None]:
    """A step on words: what is wrong with them is said here, and not of the photo."""

    @wraps(show)
    def shown(session: Session) -> None:
        try:
            show(session)
        except VitvizError as error:
            st.error(explained(error), icon=":material/error:")

    return shown


@st.cache_resource(show_spinner=False)
def text_model() -> TextModel:
    """The text model, loaded once and shared by all visitors."""
    return load_text_model()


def read(session: Session, text: str) -> TextRecording:
    """A text's recording, kept with the photo's."""
    model = text_model()
    return run_once(session.own, "text", text, lambda: record_text(model, text), KEPT)


def vectors_of(memory: Memo, texts: tuple[str, ...], name: str) -> Tensor:
    """Their vectors, (texts, width); those of what a visitor typed are kept in `session.own`."""
    model = text_model()
    return run_once(memory, name, texts, lambda: text_vectors(model, list(texts)), 2)


def lines_of(text: str) -> tuple[str, ...]:
    """The texts in a field, one a line."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line[:MOST_LETTERS] for line in lines if line)[:MOST_LINES]


def typed_sentence(session: Session) -> TextRecording:
    """A field for the sentence that the lesson follows, and its recording. The sentence is in the
    address, unless it is the example."""
    example = t("words.example")
    held = st.query_params.get(keys.SENTENCE, visit().sentence) or example
    sentence = st.text_input(
        t("words.sentence"), held, max_chars=MOST_LETTERS, key=keys.SENTENCE_FIELD
    )
    visit().sentence = sentence
    if sentence == example:
        st.query_params.pop(keys.SENTENCE, None)
    else:
        st.query_params[keys.SENTENCE] = sentence
    return read(session, sentence)


def followed_word(rec: TextRecording) -> int:
    """The piece that the lesson follows; at first the one in the middle."""
    chosen = visit().word
    return len(rec.tokens) // 2 if chosen is None else min(chosen, len(rec.tokens) - 1)


def word_layer_and_head(rec: TextRecording) -> tuple[int, int]:
    """Sliders for the layer and the head of the text model, kept from step to step."""
    state = visit()
    for key, held in ((keys.WORD_LAYER, state.word_layer), (keys.WORD_HEAD, state.word_head)):
        if key not in st.session_state and key not in st.query_params:
            st.session_state[key] = held
    left, right = st.columns(2)
    layer = left.slider(t("lesson.layer"), 0, rec.num_layers - 1, key=keys.WORD_LAYER, bind=URL)
    last = rec.num_heads(layer) - 1
    head = right.slider(t("lesson.head"), 0, last, key=keys.WORD_HEAD, bind=URL)
    state.word_layer, state.word_head = layer, head
    return layer, head
