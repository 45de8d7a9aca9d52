"""What a token becomes, layer by layer."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from torch import Tensor

from vitviz.heatmap import Heatmap
from vitviz.inside.heads import head_statistics, uniform_distance
from vitviz.inside.lens import Stream, logit_lens, norm_steps, residual_stream
from vitviz.methods.rollout import rollout_through
from vitviz.pictures.overlay import shared_scale
from vitviz.recording.predictions import rank_classes
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    UPRIGHT,
    baseline,
    captioned,
    chosen_patch,
    colours,
    follow_layer,
    pick_patch,
    run_once,
)
from vitviz.ui.parts.chart import beside, draw_chart, lines_by
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.presenting import presented
from vitviz.ui.visit.session import Session

NUMBERS = 64  # of a vector that are shown
CLASSES = 4  # in the chart of the lens
CLASS_TOKEN, PATCH = "cls", "patch"
BLOCK = (
    r"x' = x + \gamma_1 \cdot \mathrm{Attn}(\mathrm{LN}\,x)"
    r" \\ x'' = x' + \gamma_2 \cdot \mathrm{MLP}(\mathrm{LN}\,x')"
)


def stream(session: Session) -> None:
    """How long the token's vector is after each block."""
    found = _stream(session)
    token = _token(session)
    lengths = found.states[:, token].norm(dim=-1)
    table = pd.DataFrame({"layer": range(len(lengths)), "length": lengths.tolist()})
    _line(table, "length", t("layers.stream.length"), t("layers.blocks"))
    layer = follow_layer(session)
    state, attention, mlp = (
        float(part[layer, token, 0]) for part in (found.states, found.attention, found.mlp)
    )
    after = float(found.states[layer + 1, token, 0])
    between = state + attention
    st.latex(
        rf"\begin{{aligned}}x'_0 &= {state:.4f} {attention:+.4f} = {between:.4f} \\"
        rf"x''_0 &= {between:.4f} {mlp:+.4f} = {after:.4f}\end{{aligned}}"
    )
    st.caption(t("layers.stream.caption"))


def mlp(session: Session) -> None:
    """How much attention and MLP add in each block."""
    found = _stream(session)
    token = _token(session)
    table = pd.DataFrame(
        {"layer": layer, "part": t(f"layers.mlp.{name}"), "length": float(part[token].norm())}
        for name, parts in (("attention", found.attention), ("mlp", found.mlp))
        for layer, part in enumerate(parts)
    )
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("layer:O", title=t("lesson.layer"), axis=UPRIGHT),
            y=alt.Y(
                "length",
                title=t("layers.mlp.length"),
                scale=alt.Scale(type="log"),
                axis=alt.Axis(values=_powers(table["length"]), format="~g"),
            ),
            **lines_by(
                "part:N",
                [t("layers.mlp.attention"), t("layers.mlp.mlp")],
                title=None,
                legend=alt.Legend(orient="bottom"),
            ),
            tooltip=[
                alt.Tooltip("layer", title=t("lesson.layer")),
                alt.Tooltip("part", title=t("lesson.part")),
                alt.Tooltip("length", title=t("layers.mlp.length"), format=".2f"),
            ],
        ),
        height=390,
    )


def norm(session: Session) -> None:
    """The token before and after the layer norm."""
    token, layer = _token(session), follow_layer(session)
    found = _stream(session)
    steps = norm_steps(session.rec, found, layer, token)
    first, second = st.columns(2)
    first.metric(t("layers.norm.mean"), f"{steps.mean:.4f}")
    second.metric(t("layers.norm.spread"), f"{steps.spread:.4f}")
    parts = (
        ("before", found.states[layer, token]),
        ("centred", steps.centred),
        ("result", steps.result),
    )
    for name, vector in parts:
        text = t(f"layers.norm.{name}", shown=NUMBERS, first=f"{vector[0]:.4f}")
        picture = colours(
            vector[:NUMBERS].reshape(2, -1).numpy(), float(vector.abs().quantile(0.98)), 16
        )
        captioned(picture, text)


def lens(session: Session) -> None:
    """The classifier applied after each layer."""
    chart, names = st.columns(2)
    with chart:
        _lens_chart(session, 430)
    best = [rank_classes(session.rec.vit, session.rec.reading, row)[0] for row in _lens(session)]
    words = [t("layers.lens.after"), t("layers.lens.best"), t("compare.probability")]
    rows = [(layer, label(p.label), 100 * p.value) for layer, p in enumerate(best)]
    share = st.column_config.NumberColumn(format="%.2f%%")
    names.dataframe(
        pd.DataFrame(rows, columns=words),
        hide_index=True,
        column_config={words[2]: share},
        height="content",
        row_height=presented(26),
    )


def distance(session: Session) -> None:
    """How far the heads of each layer look."""
    rec = session.rec
    found = run_once(session.results, "heads", None, lambda: head_statistics(rec)).distance
    table = pd.DataFrame(
        {"layer": layer, "distance": float(value)}
        for layer, values in enumerate(found)
        for value in values
        if not np.isnan(value)
    )
    base = alt.Chart(table).encode(
        x=alt.X("layer:O", title=t("lesson.layer"), axis=UPRIGHT),
        y=alt.Y("distance", title=t("manyheads.distance_axis")),
    )
    mean = base.mark_line(point=True).encode(y="mean(distance)")
    alike = uniform_distance(session.rec)
    dots = base.mark_circle(size=60, opacity=0.7)
    draw_chart(dots + mean + baseline(alike), height=350)
    st.caption(t("layers.distance.caption", alike=f"{alike:.0f}"))


def rollout(session: Session) -> None:
    """Rollout through one more layer with each step of the slider."""
    rec = session.rec
    layers = st.slider(t("layers.rollout.layers"), 0, rec.num_layers, 1, key=keys.THROUGH)
    shares = rollout_through(rec, chosen_patch(session), layers)
    found = rec.patches(shares)
    heat = Heatmap(found.numpy(), rec.box, "rollout")
    photo, numbers = st.columns([3, 2])
    with photo:
        scale = shared_scale([heat])  # its own share would hide all
        patch = pick_patch(session, heat, scale=scale)
    with numbers:
        st.metric(t("layers.rollout.own"), f"{found[patch]:.1%}")
        st.metric(t("layers.rollout.prefix"), f"{1 - float(found.sum()):.1%}")


def task(session: Session) -> None:
    """After which layer the final answer stays ahead."""
    rec, logits = session.rec, _lens(session)
    same = logits.argmax(dim=-1) == logits[-1].argmax()
    changed = (~same).nonzero().flatten()
    first = int(changed[-1]) + 1 if len(changed) else 0
    _lens_chart(session, 340)
    answer = label(rec.predictions[0].label)
    st.markdown(t("layers.task", label=answer, block=first, blocks=rec.num_layers))


def _lens(session: Session) -> Tensor:
    rec = session.rec
    return run_once(session.own, "lens", None, lambda: logit_lens(rec, residual_stream(rec)))


def _lens_chart(session: Session, height: int) -> None:
    """How probable the model's first classes are after each layer."""
    shares = _lens(session).softmax(dim=-1)
    shown = session.rec.predictions[:CLASSES]
    table = pd.DataFrame(
        {"layer": layer, "class": label(p.label), "probability": float(shares[layer, p.index])}
        for layer in range(len(shares))
        for p in shown
    )
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("layer:O", title=t("layers.blocks"), axis=UPRIGHT),
            y=alt.Y(
                "probability",
                title=t("compare.probability"),
                scale=alt.Scale(type="log"),  # it is far below 1 % for most of the way
                axis=alt.Axis(
                    values=_powers(table["probability"], 2),
                    labelExpr="datum.value < 1e-4 ? format(datum.value, '.0e')"
                    " : format(datum.value, '~%')",
                ),
            ),
            **lines_by(
                "class:N",
                title=None,
                sort=[label(p.label) for p in shown],
                legend=alt.Legend(orient="bottom", columns=beside(2)),
            ),
            tooltip=[
                alt.Tooltip("layer", title=t("layers.blocks")),
                alt.Tooltip("class", title=t("prediction.softmax.class")),
                alt.Tooltip("probability", title=t("compare.probability"), format=".2~%"),
            ],
        ),
        height=height,
    )


def _stream(session: Session) -> Stream:
    return run_once(session.own, "stream", None, lambda: residual_stream(session.rec))


def _token(session: Session) -> int:
    """The token that the step follows: the class token, or a patch that one chooses."""
    rec = session.rec
    offered = [CLASS_TOKEN, PATCH] if rec.has_class_token else [PATCH]
    followed: str = choice(
        st.segmented_control,
        t("layers.follow"),
        offered,
        offered[0],
        keys.FOLLOW,
        lambda option: t(f"layers.{option}"),
        required=True,
    )
    if followed == CLASS_TOKEN:
        return 0
    with st.expander(t("layers.choose"), expanded=False):
        patch = pick_patch(session)
    return rec.token(patch)


def _powers(numbers: pd.Series[float], step: int = 1) -> list[float]:
    """The powers of ten around these numbers, each `step` powers above the one below."""
    positive = numbers[numbers > 0]
    low, high = math.floor(math.log10(positive.min())), math.ceil(math.log10(positive.max()))
    return [10.0**power for power in range(low, high + 1) if power % step == 0]


def _line(table: pd.DataFrame, name: str, title: str, across: str) -> None:
    chart = alt.Chart(table).mark_line(point=True)
    draw_chart(
        chart.encode(
            x=alt.X("layer:O", title=across, axis=UPRIGHT),
            y=alt.Y(
                name,
                title=title,
                scale=alt.Scale(type="log"),  # it grows a hundredfold
                axis=alt.Axis(values=_powers(table[name]), format="~g"),
            ),
            tooltip=[
                alt.Tooltip("layer", title=across),
                alt.Tooltip(name, title=title, format=".2f"),
            ],
        ),
        height=215,
    )


LESSON = Lesson(
    "layers",
    (
        Step("stream", stream, formula=BLOCK),
        Step("mlp", mlp),
        Step("norm", norm, formula=r"\mathrm{LN}(x) = \dfrac{x - \mu}{\sigma} \cdot g + c"),
        Step("lens", lens, guess=True),
        Step("distance", distance),
        Step("rollout", rollout, guess=True),
    ),
    task,
    {
        "Abnar & Zuidema 2020: Quantifying attention flow": "https://arxiv.org/abs/2005.00928",
        "Raghu et al. 2021: Do Vision Transformers see like CNNs?": "https://arxiv.org/abs/2108.08810",
        "Belrose et al. 2023: Eliciting latent predictions": "https://arxiv.org/abs/2303.08112",
    },
)
