"""The same for all tokens at once: a head as matrices, and how it learns."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from torch import Tensor

from vitviz.heatmap import Heatmap
from vitviz.inside.attention_steps import collected
from vitviz.inside.lens import residual_stream
from vitviz.inside.score_matrix import (
    asymmetry,
    own_best,
    saturation,
    score_matrix,
    token_products,
)
from vitviz.inside.weight_gradients import projection_gradients
from vitviz.methods.gradients import Score
from vitviz.recording.recording import Recording
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    DIVERGING,
    OFFERED_CLASSES,
    UPRIGHT,
    choose_class,
    chosen_patch,
    followed,
    layer_and_head,
    pick_patch,
    run_once,
)
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.parts.map_sheet import Panel, map_sheet
from vitviz.ui.parts.token_matrix import token_matrix
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Look, Session

LOOK = Look("inferno", 0.6, True)
SCALES = [2.0**power for power in range(-4, 7)]  # to choose from
FINER = np.geomspace(SCALES[0], SCALES[-1], 61)  # in the chart
MADE = ("queries", "keys", "values")


def scores(session: Session) -> None:
    """Q Kᵀ / √d of a head, every token with every token."""
    layer, head = layer_and_head(session)
    found = score_matrix(session.rec, layer, head)
    tokens, dim = session.rec.layers[layer].value.shape[-2:]
    photo, picture = st.columns(2)
    with photo:
        pick_patch(session)
        st.latex(
            rf"{_sized('Q', tokens, dim)}\quad {_sized('K^T', dim, tokens)}"
            rf"\,/\,\sqrt{{{dim}}} = {_sized('Z', tokens, tokens)}"
        )
    with picture:
        _signed(session, found, "scores", t("matrix.scores.caption"))


def weights(session: Session) -> None:
    """The softmax of every row, and what all tokens collect with it."""
    layer, head = layer_and_head(session)
    found, own = session.rec.attention(layer)[head], _own(session)
    result = collected(session.rec, layer, head)
    tokens, dim = result.shape
    photo, picture = st.columns(2)
    with photo:
        pick_patch(session)
        st.latex(
            rf"\begin{{gathered}}{_sized('A', tokens, tokens)}\quad {_sized('V', tokens, dim)}"
            rf" = {_sized('O', tokens, dim)} \\"
            rf"\textstyle\sum_j A_{{{own},j}} = {found[own].sum():.4f} \\"
            rf"O_{{{own},0}} = {result[own, 0]:.4f}\end{{gathered}}"
        )
    with picture:
        most = float(found.quantile(0.999))
        text = t("matrix.weights.caption", most=f"{most:.3f}")
        key = keys.TOKEN_MATRIX.format("weights")
        token_matrix(
            session, found, colormap="inferno", scale=(0.0, most), row=own, alt=text, key=key
        )


def alike(session: Session) -> None:
    """What X Xᵀ would do in place of Q Kᵀ."""
    layer, head = layer_and_head(session)
    rec = session.rec
    stream = run_once(session.own, "stream", None, lambda: residual_stream(rec))
    shown = {
        "tokens": token_products(rec, stream, layer),
        "scores": score_matrix(rec, layer, head),
    }
    for column, (name, found) in zip(st.columns(2), shown.items(), strict=True):
        with column:
            own, mirrored = f"{own_best(found):.0%}", f"{asymmetry(found):.2f}"
            _signed(session, found, name, t(f"matrix.alike.{name}", own=own, asymmetry=mirrored))


def roles(session: Session) -> None:
    """The chosen patch's row and column: where it looks, and who looks at it."""
    layer, head = layer_and_head(session)
    found, own = session.rec.attention(layer)[head], _own(session)
    photo, sheet = st.columns([1, 3])
    with photo:
        pick_patch(session)
        st.metric(
            t("matrix.alike.asymmetry"), f"{asymmetry(score_matrix(session.rec, layer, head)):.2f}"
        )
    panels = []
    for name, line in (("row", found[own]), ("column", found[:, own])):
        title = t(f"matrix.roles.{name}")
        heat = Heatmap(session.rec.patches(line).numpy(), session.rec.box, "attention")
        panels.append(Panel(name, title, title, heat, False))
    with sheet:
        map_sheet(
            session,
            panels,
            LOOK,
            columns=2,
            scale=None,
            alt=t("matrix.roles.title"),
            key=keys.LESSON_MAPS.format("roles"),
            on_open=lambda: None,
        )


def saturated(session: Session) -> None:
    """How much a row of weights still moves when its scores are scaled up."""
    layer, head = followed(session)
    scale: float = st.select_slider(
        t("matrix.saturated.scale"),
        SCALES,
        1.0,
        format_func="{:g}".format,
        key=keys.SATURATION,
        bind=URL,
    )
    row = score_matrix(session.rec, layer, head)[_own(session)]
    now = saturation(row, scale)
    first, second = st.columns(2)
    first.metric(t("attention.scale.largest"), f"{now.weights.max():.1%}")
    second.metric(t("matrix.saturated.norm"), f"{now.gradient:.4f}")
    table = pd.DataFrame(
        {"scale": FINER, "norm": [saturation(row, float(s)).gradient for s in FINER]}
    )
    here = pd.DataFrame({"scale": [scale], "norm": [now.gradient]})
    x = alt.X(
        "scale",
        title=t("matrix.saturated.scale"),
        scale=alt.Scale(type="log", base=2, nice=False),
        axis=alt.Axis(values=SCALES, format="~g"),
    )
    y = alt.Y("norm", title=t("matrix.saturated.norm"))
    tooltip = [
        alt.Tooltip("scale", title=t("matrix.saturated.scale"), format=".3~g"),
        alt.Tooltip("norm", title=t("matrix.saturated.norm"), format=".4f"),
    ]
    line = alt.Chart(table).mark_line().encode(x=x, y=y, tooltip=tooltip)
    dot = alt.Chart(here).mark_circle(size=160).encode(x=x, y=y, tooltip=tooltip)
    draw_chart(line + dot, height=260)
    row_, col = chosen_patch(session)
    st.caption(t("matrix.saturated.caption", row=row_, col=col, layer=layer, head=head))


def gradients(session: Session) -> None:
    """How long the gradients of a class's logit are that reach the three matrices of each layer."""
    rec, index = session.rec, choose_class(session)
    found: Tensor = run_once(
        session.results,
        "projection gradients",
        index,
        lambda: projection_gradients(rec, Score(index)),
        most=OFFERED_CLASSES,
    )
    table = pd.DataFrame(
        {"layer": layer, "matrix": t(f"matrix.gradients.{name}"), "length": float(length)}
        for layer, lengths in enumerate(found)
        for name, length in zip(MADE, lengths, strict=True)
    )
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("layer:O", title=t("lesson.layer"), axis=UPRIGHT),
            y=alt.Y("length", title=t("matrix.gradients.length")),
            **lines_by(
                "matrix:N",
                [t(f"matrix.gradients.{name}") for name in MADE],
                title=None,
                legend=alt.Legend(orient="bottom"),
            ),
            tooltip=[
                alt.Tooltip("layer", title=t("lesson.layer")),
                alt.Tooltip("matrix", title=t("lesson.part")),
                alt.Tooltip("length", title=t("matrix.gradients.length"), format=".3f"),
            ],
        ),
        height=390,
    )


def task(session: Session) -> None:
    """How symmetric the chosen head's scores are, beside the least and the most symmetric head."""
    rec = session.rec
    layer, head = layer_and_head(session)
    every = run_once(session.results, "asymmetries", None, lambda: _asymmetries(rec))
    least, most = min(every, key=every.__getitem__), max(every, key=every.__getitem__)
    picture, words = st.columns(2)
    with picture:
        _signed(session, score_matrix(rec, layer, head), "scores", t("matrix.scores.caption"))
    words.markdown(
        t(
            "matrix.task",
            here=f"{every[layer, head]:.2f}",
            least=t("matrix.head", layer=least[0], head=least[1]),
            lowest=f"{every[least]:.2f}",
            most=t("matrix.head", layer=most[0], head=most[1]),
            highest=f"{every[most]:.2f}",
        )
    )


def _asymmetries(rec: Recording) -> dict[tuple[int, int], float]:
    """Of every layer and head."""
    return {
        (layer, head): asymmetry(score_matrix(rec, layer, head))
        for layer in range(rec.num_layers)
        for head in range(rec.num_heads(layer))
    }


def _sized(matrix: str, rows: int, cols: int) -> str:
    """A matrix in LaTeX above its shape; all shapes of a line are level."""
    return rf"\underset{{{rows} \times {cols}}}{{{matrix}\vphantom{{K^T}}}}"


def _own(session: Session) -> int:
    """The chosen patch's token."""
    return session.rec.token(chosen_patch(session))


def _signed(session: Session, found: Tensor, name: str, text: str) -> None:
    """Scores as colours: blue is negative, red positive."""
    largest = float(found.abs().flatten().quantile(0.99))
    token_matrix(
        session,
        found,
        colormap=DIVERGING,
        scale=(-largest, largest),
        row=_own(session),
        alt=text,
        key=keys.TOKEN_MATRIX.format(name),
    )


LESSON = Lesson(
    "matrix",
    (
        Step("scores", scores, guess=True, formula=r"Z = \dfrac{Q\,K^{T}}{\sqrt{d}}"),
        Step("weights", weights, formula=r"O = \mathrm{softmax}\,(Z)\; V"),
        Step("alike", alike, guess=True, formula=r"\dfrac{X\,X^{T}}{\sqrt{w}}"),
        Step("roles", roles),
        Step("saturated", saturated, guess=True, formula=r"J = \mathrm{diag}(a) - a\,a^{T}"),
        Step(
            "gradients",
            gradients,
            formula=(
                r"\partial V = A^{T}\, \partial O,\quad \partial A = \partial O\; V^{T}"
                r" \\ \partial Z_i = J_i\, \partial A_i"
                r" \\ \partial Q = \partial Z\, K / \sqrt{d},\quad"
                r" \partial K = \partial Z^{T} Q / \sqrt{d}"
                r" \\ \partial W_q = \partial Q^{T}\, \mathrm{LN}(X)"
            ),
        ),
    ),
    task,
    {
        "Vaswani et al. 2017: Attention is all you need": "https://arxiv.org/abs/1706.03762",
        "Elhage et al. 2021: A mathematical framework for Transformer circuits": "https://transformer-circuits.pub/2021/framework/index.html",
        "Kim et al. 2020: The Lipschitz constant of self-attention": "https://arxiv.org/abs/2006.04710",
    },
)
