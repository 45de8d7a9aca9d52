"""The same attention on words."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch
from numpy.typing import NDArray

from vitviz.inside.attention_steps import AttentionSteps, attention_steps
from vitviz.text.heads import PLACES, share_at
from vitviz.text.record import TextRecording
from vitviz.text.sentences import SentenceClassifier, train_classifier
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import UPRIGHT, for_all
from vitviz.ui.course.words import (
    MOST_LETTERS,
    followed_word,
    in_words,
    lines_of,
    typed_sentence,
    vectors_of,
    word_layer_and_head,
)
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.parts.word_heads import word_heads
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.markdown import as_code
from vitviz.ui.visit.presenting import presented
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit

ROWS = 3  # pieces in a table
STAND_FOR_A_THING = {"it", "they"}
ROW, FITTING = 24, 13  # px of a row of the sentence's pieces, and how many fit a screen
BASE = "A cat is sleeping on the sofa."
OTHERS = (
    "A kitten is taking a nap on the couch.",
    "A cat is not sleeping on the sofa.",
    "The sofa is sleeping on a cat.",
    "The bank raised its interest rates.",
)
SAD = (
    "I was bored from beginning to end.",
    "The soup was cold and had no taste.",
    "What a terrible day, everything went wrong.",
    "The hotel room was dirty and loud.",
    "He shouted at us for no reason.",
    "I regret buying this phone.",
    "The service was slow and rude.",
    "That was the worst concert of my life.",
    "She was deeply disappointed by the answer.",
    "The trip was a waste of money.",
)
GLAD = (
    "I laughed from beginning to end.",
    "The soup was warm and delicious.",
    "What a wonderful day, everything went right.",
    "The hotel room was clean and quiet.",
    "He thanked us with a big smile.",
    "I love this phone.",
    "The service was quick and friendly.",
    "That was the best concert of my life.",
    "She was delighted by the answer.",
    "The trip was worth every cent.",
)
HELD_OUT = (  # and whether each is glad
    ("The book was a joy to read.", True),
    ("Our guide was kind and knew everything.", True),
    ("The cake tastes fantastic.", True),
    ("I am proud of what we built.", True),
    ("The new park is beautiful.", True),
    ("The book put me to sleep.", False),
    ("Our guide was late and grumpy.", False),
    ("The cake tastes like soap.", False),
    ("I am ashamed of what we built.", False),
    ("The new park is ugly and full of trash.", False),
)
HARD = (  # negation and irony
    ("The film was not good.", False),
    ("I was not bored for a minute.", True),
    ("There was nothing to complain about.", True),
    ("Lovely, rain on my only free day.", False),
)


@in_words
def pieces(session: Session) -> None:
    """The sentence as the model is given it."""
    rec = typed_sentence(session)
    table = pd.DataFrame(
        {
            t("words.pieces.place"): range(len(rec.tokens)),
            t("words.pieces.piece"): [token.piece for token in rec.tokens],
            t("words.pieces.part"): [rec.text[token.start : token.end] for token in rec.tokens],
            t("words.pieces.number"): [token.number for token in rec.tokens],
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        row_height=presented(ROW),
        height="content" if len(table) <= FITTING else presented(ROW * (FITTING + 1)),
    )
    if rec.unknown:
        st.warning(
            t("words.pieces.unknown", parts=", ".join(map(as_code, rec.unknown))),
            icon=":material/question_mark:",
        )
    st.caption(t("words.pieces.caption", count=len(rec.tokens), photo=session.rec.num_tokens))


@in_words
def look(session: Session) -> None:
    """Where each piece looks, in every head of a layer."""
    rec = typed_sentence(session)
    layer, head = word_layer_and_head(rec)
    word_heads(
        rec,
        layer,
        head,
        followed_word(rec),
        key=keys.WORD_MAP,
        on_word=_keep_word,
        on_head=_keep_head,
    )


@in_words
def formula(session: Session) -> None:
    """The numbers behind a word's row: products, scores, weights."""
    rec = typed_sentence(session)
    layer, head = word_layer_and_head(rec)
    word = _choose_word(rec, t("words.formula.asks"), keys.WORD, followed_word(rec))
    visit().word = word
    steps = _steps(rec, layer, head, word)
    order = steps.scores.argsort(descending=True)[:ROWS].tolist()
    columns = {
        t(f"attention.column.{name}"): [float(getattr(steps, name)[i]) for i in order]
        for name in ("products", "scores", "weights")
    }
    names = {t("words.pieces.piece"): [rec.tokens[i].piece for i in order]}
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(
        pd.DataFrame(names | columns), hide_index=True, column_config=dict.fromkeys(columns, number)
    )
    best = order[0]
    st.latex(
        rf"z = \frac{{{steps.products[best]:.4f}}}{{\sqrt{{{len(steps.query)}}}}}"
        rf" = {steps.scores[best]:.4f},\quad a = {steps.weights[best]:.4f}"
    )
    own = session.rec.layers[0].value.shape[-1]
    st.caption(
        t(
            "words.formula.caption",
            count=len(rec.tokens),
            dim=len(steps.query),
            photo=session.rec.num_tokens,
            own=own,
        )
    )


@in_words
def find(session: Session) -> None:
    """How much each head looks at a place, whatever the words are."""
    rec = typed_sentence(session)
    place = choice(
        st.segmented_control,
        t("words.find.place"),
        PLACES,
        PLACES[0],
        keys.WORD_PLACE,
        lambda name: t(f"words.find.{name}"),
        required=True,
    )
    shares = share_at(rec, place).numpy()
    layer, head = divmod(int(shares.argmax()), shares.shape[1])
    _shares_of_heads(shares)
    share = f"{shares[layer, head]:.2%}"
    st.markdown(t("words.find.largest", layer=layer, head=head, share=share))


@in_words
def vectors(session: Session) -> None:
    """How alike the vectors of some sentences are to the first one's."""
    text = st.text_area(
        t("words.vectors.lines"),
        "\n".join((BASE, *OTHERS)),
        height=presented(150),
        key=keys.COMPARED,
    )
    lines = lines_of(text)
    if len(lines) < 2:
        st.info(t("words.vectors.two"), icon=":material/info:")
        return
    found = vectors_of(session.own, lines, "compared")
    table = pd.DataFrame(
        {"sentence": lines[1:], "alike": (found[1:] @ found[0]).tolist()},
    )
    bars = alt.Chart(table).mark_bar()
    draw_chart(
        bars.encode(
            x=alt.X("alike", title=t("words.vectors.alike"), scale=alt.Scale(domain=[-0.2, 1])),
            y=alt.Y("sentence", title=None, sort=None, axis=alt.Axis(labelLimit=presented(230))),
            tooltip=[
                alt.Tooltip("sentence", title=t("words.sentence")),
                alt.Tooltip("alike", title=t("words.vectors.alike"), format=".3f"),
            ],
        ),
        height=230,
    )


@in_words
def sentiment(session: Session) -> None:
    """A classifier trained on the class's sentences, and where it fails."""
    left, right = st.columns(2)
    lines = [
        lines_of(
            column.text_area(
                t(f"words.sentiment.{name}"),
                "\n".join(sentences),
                height=presented(180),
                key=keys.SENTENCES.format(name),
            )
        )
        for column, name, sentences in ((left, "sad", SAD), (right, "glad", GLAD))
    ]
    if not all(lines):
        st.info(t("words.sentiment.both"), icon=":material/info:")
        return
    sentences = lines[0] + lines[1]
    known = vectors_of(session.own, sentences, "sentiment")
    trained = train_classifier(known, torch.arange(len(sentences)) >= len(lines[0]))
    judged = _judged(trained, HELD_OUT, "held out")
    first, second, third = st.columns([1, 1, 2])
    first.metric(t("words.sentiment.held_out"), f"{judged.right.sum()} / {len(judged)}")
    second.metric(t("words.sentiment.chance"), f"{len(judged) // 2} / {len(judged)}")
    with third:
        _judge_own(session, trained)
    hard = _judged(trained, HARD, "hard")
    st.dataframe(
        pd.DataFrame(
            {
                t("words.sentiment.hard"): hard.sentence,
                t("words.sentiment.glad_share"): [f"{share:.0%}" for share in hard.share],
                t("words.sentiment.is_right"): ["✓" if r else "✗" for r in hard.right],
            }
        ),
        hide_index=True,
    )


@in_words
def task(session: Session) -> None:
    """Which head leads most from one word to another."""
    rec = typed_sentence(session)
    asks = (at for at, token in enumerate(rec.tokens) if token.piece in STAND_FOR_A_THING)
    left, right = st.columns(2)
    with left:
        first = next(asks, followed_word(rec))
        word = _choose_word(rec, t("words.task.from"), keys.WORD, first)
    with right:
        other = _choose_word(rec, t("words.task.to"), keys.OTHER_WORD, min(2, len(rec.tokens) - 1))
    visit().word = word
    rows = [rec.attention(layer)[:, word, other] for layer in range(rec.num_layers)]
    shares = torch.stack(rows).numpy()
    layer, head = divmod(int(shares.argmax()), shares.shape[1])
    _shares_of_heads(shares)
    st.markdown(
        t(
            "words.task.found",
            word=as_code(rec.tokens[word].piece),
            other=as_code(rec.tokens[other].piece),
            layer=layer,
            head=head,
            share=f"{shares[layer, head]:.1%}",
        )
    )


def _shares_of_heads(shares: NDArray[np.float32]) -> None:
    """A share of attention for every head, (layers, heads)."""
    table = pd.DataFrame(
        {"layer": at, "head": of, "share": float(shares[at, of])}
        for at, of in np.ndindex(shares.shape)
    )
    draw_chart(
        alt.Chart(table)
        .mark_rect()
        .encode(
            x=alt.X("head:O", title=t("lesson.head"), axis=UPRIGHT),
            y=alt.Y("layer:O", title=t("lesson.layer")),
            color=alt.Color(
                "share", title=None, scale=alt.Scale(scheme="viridis", domain=[0, 1])
            ).legend(format="%"),
            tooltip=[
                alt.Tooltip("layer", title=t("lesson.layer")),
                alt.Tooltip("head", title=t("lesson.head")),
                alt.Tooltip("share", title=t("words.find.share"), format=".2%"),
            ],
        ),
        height=255,
        alt=t("words.find.alt"),
    )


def _keep_word() -> None:
    visit().word = int(st.session_state[keys.WORD_MAP].word)


def _keep_head() -> None:
    head = int(st.session_state[keys.WORD_MAP].head)
    st.session_state[keys.WORD_HEAD] = visit().word_head = head


def _choose_word(rec: TextRecording, label: str, key: str, default: int) -> int:
    """A piece of the sentence, by its place."""
    chosen: int = st.selectbox(
        label,
        range(len(rec.tokens)),
        default,
        key=key,
        format_func=lambda i: f"{i} · {rec.tokens[i].piece}",
    )
    return chosen


def _steps(rec: TextRecording, layer: int, head: int, word: int) -> AttentionSteps:
    """What a head computes for a word."""
    call = rec.call(layer)
    query, key, value = (x[0, head] for x in (call.query, call.key, call.value))
    return attention_steps(query[word], key, value, call.scale)


def _judge_own(session: Session, trained: SentenceClassifier) -> None:
    """A field for a sentence, and how glad it is."""
    own = st.text_input(t("words.sentiment.own"), "", max_chars=MOST_LETTERS, key=keys.OWN_SENTENCE)
    if own.strip():
        [share] = trained.probabilities(vectors_of(session.own, (own,), "own"))
        st.caption(t("words.sentiment.said", share=f"{share:.0%}"))


def _judged(
    trained: SentenceClassifier,
    asked: tuple[tuple[str, bool], ...],
    name: str,
) -> pd.DataFrame:
    """The share of gladness that each sentence gets, and whether that is right."""
    texts = tuple(sentence for sentence, _ in asked)
    shares = trained.probabilities(vectors_of(for_all(), texts, name)).numpy()
    glad = np.array([is_glad for _, is_glad in asked])
    return pd.DataFrame({"sentence": texts, "share": shares, "right": (shares > 0.5) == glad})


LESSON = Lesson(
    "words",
    (
        Step("pieces", pieces),
        Step("look", look),
        Step(
            "formula",
            formula,
            formula=r"a_j = \operatorname{softmax}_j\frac{q \cdot k_j}{\sqrt{d}}",
        ),
        Step("find", find, guess=True),
        Step(
            "vectors",
            vectors,
            guess=True,
            formula=r"s = \frac{m}{|m|}, \quad m = \frac{1}{n}\sum_i x_i",
        ),
        Step("sentiment", sentiment, formula=r"p = \frac{1}{1 + e^{-(W s + b)}}"),
    ),
    task,
    {
        "Devlin et al. 2018: BERT": "https://arxiv.org/abs/1810.04805",
        "Reimers & Gurevych 2019: Sentence-BERT": "https://arxiv.org/abs/1908.10084",
        "Clark et al. 2019: What does BERT look at?": "https://arxiv.org/abs/1906.04341",
        "Bahdanau et al. 2014: Jointly learning to align and translate": "https://arxiv.org/abs/1409.0473",
    },
)
