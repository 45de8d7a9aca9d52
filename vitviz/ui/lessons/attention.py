"""A token asks, all tokens answer."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import streamlit as st
import torch
from numpy.typing import NDArray

from vitviz.inside.attention_steps import AttentionSteps, attention_steps, entropy, head_steps
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    attention_heat,
    calculation,
    captioned,
    chosen_patch,
    colours,
    followed,
    in_rows,
    layer_and_head,
    pick_patch,
)
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import entry, t
from vitviz.ui.visit.presenting import presented
from vitviz.ui.visit.session import Session

NUMBERS_WIDE = 16  # of a vector in one row of its picture
ROWS = 3  # tokens in a table
DIVISORS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
# Three tokens with whole numbers, d = 4: what the first token's query gets.
QUERY = torch.tensor([2.0, 0.0, 1.0, 1.0])
KEYS = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 2.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
VALUES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
ASKS = r" \\ ".join(rf"{name} = W_{name}\,\mathrm{{LN}}(x) + b_{name}" for name in "qkv")
NEAR = 0.006  # an answer with two decimals


def asks(session: Session) -> None:
    """The chosen patch's query, and its own key and value."""
    steps, patch = _asked(session)
    token = session.rec.token(patch)
    photo, vectors = st.columns(2)
    with photo:
        pick_patch(session)
    with vectors:
        own = (("query", steps.query), ("key", steps.keys[token]), ("value", steps.values[token]))
        for name, vector in own:
            text = t(f"attention.{name}", count=len(vector), first=f"{vector[0]:.3f}")
            _vector(vector, text)


def products(session: Session) -> None:
    """q·k for every patch, and the largest as a table."""
    steps, _ = _asked(session)
    photo, picture = st.columns(2)
    with photo:
        pick_patch(session)
        _table(session, steps, ["products"])
    with picture:
        _signed(session, steps.products, t("attention.products.caption"))
    best = _best(steps)
    terms = " + ".join(
        rf"{_in_sum(q, 2)} \cdot {_in_sum(k, 2)}"
        for q, k in zip(steps.query[:2], steps.keys[best][:2], strict=True)
    )
    calculation(r"s_{\max}", rf"{terms} + \ldots", f"{steps.products[best]:.4f}")


def scale(session: Session) -> None:
    """Another divisor than √d: the same products, a sharper or flatter map."""
    first, patch = _asked(session)
    width = len(first.query)
    divisor = st.select_slider(
        t("attention.scale.divisor", root=f"{math.sqrt(width):g}"), DIVISORS, 8, key=keys.DIVISOR
    )
    layer, head = followed(session)
    steps = head_steps(session.rec, layer, head, patch, divisor=divisor)
    photo, numbers = st.columns(2)
    with photo:
        pick_patch(session, attention_heat(session, steps.weights))
    best = _best(steps)
    with numbers:
        st.latex(
            rf"z_{{\max}} = \frac{{{steps.products[best]:.4f}}}{{{divisor}}}"
            rf" = {steps.scores[best]:.4f}"
        )
        st.metric(t("attention.scale.largest"), f"{steps.weights.max():.1%}")
        most = math.log(len(steps.weights))
        st.metric(t("attention.scale.entropy", most=f"{most:.2f}"), f"{entropy(steps.weights):.2f}")
        st.metric(t("attention.scale.spread"), f"{steps.scores.std():.2f}")


def softmax(session: Session) -> None:
    """The weights: positive, and one in sum."""
    steps, _ = _asked(session)
    prefix = session.rec.num_prefix_tokens
    photo, numbers = st.columns(2)
    with photo:
        pick_patch(session, attention_heat(session, steps.weights))
    best = _best(steps)
    with numbers:
        st.latex(
            rf"a_{{\max}} = \frac{{e^{{{steps.scores[best]:.4f}}}}}"
            rf"{{e^{{{steps.scores.logsumexp(dim=0):.4f}}}}} = {steps.weights[best]:.4f}"
        )
        st.metric(t("attention.softmax.sum"), f"{steps.weights.sum():.4f}")
        st.metric(t("attention.softmax.prefix"), f"{steps.weights[:prefix].sum():.1%}")
    _table(session, steps, ["products", "scores", "weights"])


def values(session: Session) -> None:
    """The weighted sum of the values, which is what the head adds."""
    steps, _ = _asked(session)
    photo, vectors = st.columns(2)
    with photo:
        pick_patch(session, attention_heat(session, steps.weights))
    order = steps.weights.argsort(descending=True)[:2].tolist()
    with vectors:
        for token in order:
            name = _token_name(session, token)
            _vector(
                steps.values[token],
                t("attention.values.of", token=name, weight=f"{steps.weights[token]:.3f}"),
            )
        _vector(steps.output, t("attention.values.output", count=len(steps.weights)))
    terms = " + ".join(
        f"{steps.weights[i]:.3f} \\cdot {_in_sum(steps.values[i, 0])}" for i in order
    )
    calculation("o_0", rf"{terms} + \ldots", f"{steps.output[0]:.4f}")


def by_hand(session: Session) -> None:
    """Three tokens to calculate, with a word on each answer."""
    del session
    steps = attention_steps(QUERY, KEYS, VALUES, 1 / math.sqrt(len(QUERY)))
    unscaled = KEYS @ QUERY
    right = {
        "product": float(steps.products[0]),
        "score": float(steps.scores[0]),
        "weight": float(steps.weights[0]),
        "output": float(steps.output[0]),
    }
    mistakes = {
        "score": {"not_scaled": float(unscaled[0]), "by_d": float(unscaled[0]) / len(QUERY)},
        "weight": {
            "not_scaled": float(unscaled.softmax(0)[0]),
            "no_softmax": float(steps.scores[0] / steps.scores.sum()),
        },
        "output": {"unweighted": float(VALUES.mean(dim=0)[0]), "sum": float(VALUES.sum(dim=0)[0])},
    }
    columns = [*st.columns(2), *st.columns(2)]
    for column, name in zip(columns, right, strict=True):
        with column:
            given = st.number_input(
                t(f"attention.by_hand.{name}"), value=None, step=0.01, key=keys.BY_HAND.format(name)
            )
            if given is not None:
                _judge(given, right[name], mistakes.get(name, {}))


def task(session: Session) -> None:
    """What the chosen head gives its largest weight."""
    steps, patch = _asked(session)
    token = _best(steps)
    place = token - session.rec.num_prefix_tokens
    marks = [list(divmod(place, session.rec.grid[1]))] if place >= 0 else []
    pick_patch(session, attention_heat(session, steps.weights), marks=marks)
    st.markdown(
        t(
            "attention.task",
            row=patch[0],
            col=patch[1],
            token=_token_name(session, token),
            weight=f"{steps.weights[token]:.1%}",
        )
    )


def _judge(given: float, right: float, mistakes: dict[str, float]) -> None:
    if abs(given - right) < NEAR:
        st.success(t("attention.by_hand.right"), icon=":material/check:")
        return
    found = [name for name, value in mistakes.items() if abs(given - value) < NEAR]
    st.warning(t(f"attention.by_hand.{found[0] if found else 'again'}"), icon=":material/close:")


def _asked(session: Session) -> tuple[AttentionSteps, tuple[int, int]]:
    """Controls for layer and head; the steps of the chosen patch's query."""
    layer, head = layer_and_head(session)
    patch = chosen_patch(session)
    return head_steps(session.rec, layer, head, patch), patch


def _signed(session: Session, numbers: torch.Tensor, caption: str) -> None:
    found: NDArray[np.float32] = session.rec.patches(numbers).numpy()
    scale = float(np.abs(found).max())
    text = f"{caption} ±{scale:.1f}"
    captioned(colours(found, scale, 16), text)


def _vector(vector: torch.Tensor, text: str) -> None:
    picture = colours(in_rows(vector, NUMBERS_WIDE), float(vector.abs().max()), 16)
    captioned(picture, text)


def _table(session: Session, steps: AttentionSteps, columns: list[str]) -> None:
    """The tokens whose keys fit best."""
    order = steps.scores.argsort(descending=True)[:ROWS].tolist()
    rows = [
        {
            t("attention.token"): _token_name(session, token),
            **{t(f"attention.column.{c}"): float(getattr(steps, c)[token]) for c in columns},
        }
        for token in order
    ]
    table = pd.DataFrame(rows)
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(
        table,
        hide_index=True,
        column_config=dict.fromkeys(table.columns[1:], number),
        row_height=presented(25),
    )


def _best(steps: AttentionSteps) -> int:
    """The token whose key fits best."""
    return int(steps.scores.argmax())


def _token_name(session: Session, token: int) -> str:
    if token < session.rec.num_prefix_tokens:
        return t("attention.prefix", number=token)
    row, col = divmod(token - session.rec.num_prefix_tokens, session.rec.grid[1])
    return str(entry("map.place")).format(row=row, col=col)


def _given() -> str:
    """The three tokens' numbers as lines of LaTeX."""
    named = {"q": QUERY}
    named |= {f"k_{number}": key for number, key in enumerate(KEYS, start=1)}
    named |= {f"v_{number}": value for number, value in enumerate(VALUES, start=1)}
    shown = [f"{name} = ({_numbers(vector)})" for name, vector in named.items()]
    rows = (shown[:2], shown[2:4], shown[4:])
    return r" \\ ".join(r"\quad ".join(row) for row in rows)


def _results() -> str:
    """What is asked of the three tokens, as lines of LaTeX."""
    steps = attention_steps(QUERY, KEYS, VALUES, 1 / math.sqrt(len(QUERY)))
    powers = [f"e^{{{score:g}}}" for score in steps.scores.tolist()]
    terms = [
        rf"{weight:.4f} \cdot {value:g}"
        for weight, value in zip(steps.weights.tolist(), VALUES[:, 0].tolist(), strict=True)
    ]
    lines = (
        rf"q \cdot k_1 = {steps.products[0]:g}",
        rf"z_1 = \dfrac{{{steps.products[0]:g}}}{{\sqrt{{{len(QUERY)}}}}} = {steps.scores[0]:g}",
        rf"a_1 = \dfrac{{{powers[0]}}}{{{' + '.join(powers)}}} = {steps.weights[0]:.4f}",
        rf"o_0 = {' + '.join(terms)} = {steps.output[0]:.4f}",
    )
    return r" \\ ".join(lines)


def _numbers(vector: torch.Tensor) -> str:
    return r",\,".join(f"{number:g}" for number in vector.tolist())


def _in_sum(number: torch.Tensor, decimals: int = 3) -> str:
    return f"({number:.{decimals}f})" if number < 0 else f"{number:.{decimals}f}"


LESSON = Lesson(
    "attention",
    (
        Step("asks", asks, formula=ASKS),
        Step("products", products, formula=r"s_j = q \cdot k_j = \sum_{m=0}^{d-1} q_m k_{jm}"),
        Step("scale", scale, guess=True, formula=r"z_j = \dfrac{q \cdot k_j}{\sqrt{d}}"),
        Step("softmax", softmax, formula=r"a_j = \dfrac{e^{z_j}}{\sum_i e^{z_i}}"),
        Step("values", values, formula=r"o = \sum_j a_j\, v_j"),
        Step("by_hand", by_hand, formula=_given(), results=_results()),
    ),
    task,
    {
        "Vaswani et al. 2017: Attention is all you need": "https://arxiv.org/abs/1706.03762",
        "Bahdanau et al. 2014: Jointly learning to align and translate": "https://arxiv.org/abs/1409.0473",
        "Dosovitskiy et al. 2020: An image is worth 16x16 words": "https://arxiv.org/abs/2010.11929",
    },
)
