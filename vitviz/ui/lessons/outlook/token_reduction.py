"""Fewer tokens: neighbours pooled, or similar ones merged."""

from __future__ import annotations

import streamlit as st

from vitviz.inside.cost import attention_width, block_weights, forward_operations
from vitviz.interventions.token_merging import Fewer, merge_tokens, pool_tokens
from vitviz.pictures.groups import paint_groups
from vitviz.pictures.input import input_picture
from vitviz.ui.course.widgets import captioned, run_once
from vitviz.ui.lessons.outlook.first_classes import CLASSES, first_classes
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.session import Session

MOST_PAIRS = 48


def pool(session: Session) -> None:
    """Four neighbours become one token before a layer."""
    rec = session.rec
    layer = st.slider(
        t("outlook.pool.layer"), 0, rec.num_layers - 1, 0, key=keys.POOL_LAYER, bind=URL
    )
    found = run_once(
        session.results, "pooled", layer, lambda: pool_tokens(rec, layer), rec.num_layers
    )
    _show_fewer_tokens(session, found)


def merge(session: Session) -> None:
    """The most similar tokens become one in every layer."""
    _show_fewer_tokens(session, _merged_tokens(session))


def task(session: Session) -> None:
    """How many pairs a photo bears before its first answer changes."""
    rec = session.rec
    found = _merged_tokens(session)
    best = first_classes(rec, found.logits)[0]
    key = "kept" if best.label == rec.predictions[0].label else "changed"
    said = t(
        f"outlook.task.{key}",
        left=found.counts[-1],
        label=label(best.label),
        share=f"{best.value:.1%}",
    )
    painted = paint_groups(input_picture(rec.vit, rec.pixels), found.groups.numpy())
    picture, words = st.columns([3, 2])
    picture.image(painted, alt=t("outlook.merge.title"), width="stretch")
    words.markdown(said)


def _merged_tokens(session: Session) -> Fewer:
    rec = session.rec
    pairs = st.slider(t("outlook.merge.pairs"), 0, MOST_PAIRS, 16, key=keys.PAIRS, bind=URL)
    return run_once(session.results, "merged", pairs, lambda: merge_tokens(rec, pairs), 8)


def _show_fewer_tokens(session: Session, found: Fewer) -> None:
    """Which patches became one, and what the model says then."""
    rec = session.rec
    picture, numbers = st.columns(2)
    painted = paint_groups(input_picture(rec.vit, rec.pixels), found.groups.numpy())
    text = t("outlook.pool.picture", left=found.counts[-1], tokens=rec.num_tokens)
    with picture:
        captioned(painted, text)
    weights, width = block_weights(rec), attention_width(rec)
    all_of_it = [rec.num_tokens] * rec.num_layers
    spent, whole = (
        forward_operations(counts, width, weights) for counts in (found.counts[:-1], all_of_it)
    )
    with numbers:
        st.metric(t("outlook.pool.spent"), f"{spent / whole:.0%}")
        st.caption(t("outlook.pool.fewer"))
        prediction_bars(first_classes(rec, found.logits))
        st.caption(t("outlook.pool.whole"))
        prediction_bars(rec.predictions[:CLASSES])
