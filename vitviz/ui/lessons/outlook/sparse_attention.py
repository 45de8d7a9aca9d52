"""Attention that may look at some tokens only."""

from __future__ import annotations

import streamlit as st

from vitviz.interventions.patterns import PATTERNS, Pattern, kept, pattern, with_pattern
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.widgets import (
    attention_heat,
    chosen_patch,
    layer_and_head,
    pick_patch,
    run_once,
)
from vitviz.ui.lessons.outlook.first_classes import first_classes
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session


def patterns(session: Session) -> None:
    """The chosen patch's attention where it may look at some tokens only, and what the model says
    if all of its layers look so."""
    rec = session.rec
    kind: Pattern = choice(
        st.segmented_control,
        t("outlook.patterns.kind"),
        PATTERNS,
        PATTERNS[1],
        keys.PATTERN,
        lambda name: t(f"outlook.patterns.{name}"),
        required=True,
    )
    layer, head = layer_and_head(session)
    patch = chosen_patch(session)
    allowed = pattern(kind, rec.grid, rec.num_prefix_tokens, layer)
    seen = allowed[rec.token(patch)]
    weights, share = kept(rec.attention_row(layer, patch)[head], seen)
    photo, numbers = st.columns(2)
    with photo:
        pick_patch(session, attention_heat(session, weights), t("outlook.weight"))
    logits = run_once(
        session.results, "pattern", kind, lambda: with_pattern(rec, kind), len(PATTERNS)
    )
    with numbers:
        st.metric(t("outlook.patterns.share"), f"{share:.1%}")
        pairs = f"{int(allowed.sum()):,}", f"{allowed.numel():,}"
        st.caption(t("outlook.patterns.pairs", pairs=pairs[0], all=pairs[1]))
        st.caption(t("outlook.patterns.answers"))
        prediction_bars(first_classes(rec, logits))
