"""What keeps a training steady, on this photo's numbers."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from torch import Tensor

from vitviz.training.regularisation import drop_attention, weights_left, without_each_block
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.widgets import (
    UPRIGHT,
    attention_heat,
    baseline,
    chosen_patch,
    draw_again,
    followed,
    pick_patch,
    run_once,
)
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit

REGULARISERS = ("path", "attention", "decay")
DECAYS, RATE, STEPS = (0.0, 0.01, 0.05, 0.1, 0.3), 1e-3, 100_000


def regularise(session: Session) -> None:
    """Drop path, attention dropout and weight decay, on this photo's numbers."""
    chosen: str = choice(
        st.segmented_control,
        t("pretraining.regularise.which"),
        REGULARISERS,
        REGULARISERS[0],
        keys.REGULARISER,
        lambda name: t(f"pretraining.regularise.{name}"),
        required=True,
    )
    {"path": _drop_path, "attention": _attention_dropout, "decay": _weight_decay}[chosen](session)


def task(session: Session) -> None:
    """The block without which this photo's answer suffers most."""
    _drop_path(session)
    shares, best = _probabilities_without_blocks(session), session.rec.predictions[0]
    worst = int(shares.argmin())
    kept = int((_logits_without_blocks(session).argmax(dim=-1) == best.index).sum())
    st.markdown(
        t(
            "pretraining.task",
            label=label(best.label),
            layer=worst,
            left=f"{shares[worst]:.1%}",
            kept=kept,
            blocks=len(shares),
        )
    )


def _drop_path(session: Session) -> None:
    """The first answer's probability without each block."""
    rec = session.rec
    best = rec.predictions[0]
    shares = _probabilities_without_blocks(session)
    table = pd.DataFrame({"layer": range(len(shares)), "probability": shares.tolist()})
    bars = alt.Chart(table).mark_bar()
    chart = bars.encode(
        x=alt.X("layer:O", title=t("pretraining.regularise.without"), axis=UPRIGHT),
        y=alt.Y("probability", title=t("compare.probability"), scale=alt.Scale(domain=[0, 1])).axis(
            format="%"
        ),
        tooltip=[
            alt.Tooltip("layer", title=t("pretraining.regularise.without")),
            alt.Tooltip("probability", title=t("compare.probability"), format=".1%"),
        ],
    )
    draw_chart(chart + baseline(best.value), height=340)
    st.caption(t("pretraining.regularise.path_caption", label=label(best.label)))


def _logits_without_blocks(session: Session) -> Tensor:
    """The model's logits without each block, (blocks, classes)."""
    rec = session.rec
    return run_once(session.results, "without blocks", None, lambda: without_each_block(rec))


def _probabilities_without_blocks(session: Session) -> Tensor:
    """How probable the first answer is without each block, (blocks,)."""
    return _logits_without_blocks(session).softmax(dim=-1)[:, session.rec.predictions[0].index]


def _attention_dropout(session: Session) -> None:
    """The chosen patch's row of attention with some of its weights dropped."""
    rec = session.rec
    layer, head = followed(session)
    probability = st.select_slider(
        t("pretraining.regularise.probability"),
        (0.0, 0.1, 0.3, 0.5),
        0.1,
        key=keys.ATTENTION_DROPOUT,
        bind=URL,
    )
    row = rec.attention_row(layer, chosen_patch(session))[head]
    left = drop_attention(row, probability, visit().shuffles)
    photo, numbers = st.columns(2)
    with photo:
        pick_patch(session, attention_heat(session, left), t("pretraining.regularise.weight"))
    with numbers:
        draw_again()
        dropped = int(((left == 0) & (row > 0)).sum())
        st.metric(t("pretraining.regularise.dropped"), f"{dropped} / {len(row)}")
        st.metric(t("pretraining.regularise.sum"), f"{left.sum():.3f}")
    st.caption(t("pretraining.regularise.attention_caption", layer=layer, head=head))


def _weight_decay(session: Session) -> None:
    """What weight decay alone leaves of a weight, step by step."""
    del session
    decay = st.select_slider(
        t("pretraining.regularise.lambda"), DECAYS, 0.05, key=keys.WEIGHT_DECAY, bind=URL
    )
    steps = np.linspace(0, STEPS, 41).astype(int)
    table = pd.DataFrame(
        {"step": steps, "left": [weights_left(RATE, decay, int(step)) for step in steps]}
    )
    draw_chart(
        alt.Chart(table)
        .mark_line()
        .encode(
            x=alt.X("step", title=t("training.step")),
            y=alt.Y(
                "left", title=t("pretraining.regularise.left"), scale=alt.Scale(domain=[0, 1])
            ).axis(format="%"),
            tooltip=[
                alt.Tooltip("step", title=t("training.step"), format=","),
                alt.Tooltip("left", title=t("pretraining.regularise.left"), format=".1%"),
            ],
        ),
        height=320,
    )
    share = f"{weights_left(RATE, decay, STEPS):.2%}"
    st.caption(
        t("pretraining.regularise.decay_caption", rate=RATE, steps=f"{STEPS:,}", share=share)
    )
