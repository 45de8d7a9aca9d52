"""What came after full attention."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from vitviz.heatmap import Heatmap
from vitviz.inside.attention_steps import AttentionSteps, entropy, head_steps
from vitviz.inside.blocked_softmax import blocked_attention, memory_traffic
from vitviz.inside.cost import (
    Looking,
    Mixing,
    attention_width,
    block_operations,
    block_weights,
    forward_operations,
    mixing_cost,
)
from vitviz.inside.linear_attention import linear_output, linear_weights
from vitviz.inside.rotary import rotary_score, rotated
from vitviz.inside.state_space import SCANS, by_kernel, reach, scanned
from vitviz.inside.tokens import patch_means, token_count
from vitviz.interventions.patterns import PATTERNS, Pattern, kept, pattern, with_pattern
from vitviz.interventions.token_merging import Fewer, merge_tokens, pool_tokens
from vitviz.pictures.groups import paint_groups
from vitviz.pictures.input import input_picture
from vitviz.pictures.overlay import overlay
from vitviz.recording.predictions import Prediction, rank_classes
from vitviz.recording.recording import Recording
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    attention_heat,
    captioned,
    chart_height,
    chosen_patch,
    followed,
    layer_and_head,
    pick_patch,
    run_once,
)
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.session import Session

WINDOW = 49  # tokens of a window in Swin, 7 × 7
SIDES = tuple(range(224, 3585, 224))
LOOKING: tuple[Looking, ...] = ("full", "windowed", "linear")
CLASSES = 3
CHART = 240  # px, above a table
MOST_PAIRS = 48
BLOCKS = (64, 128, 257)  # tokens read together; the last are all of the photo's
LONGER = (257, 1025, 4097)  # tokens of inputs of 224, 448 and 896 pixels
PLACES, FURTHER = 15, 5  # the last place of a row of patches, and a step to the right
DECAYS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MEGABYTE, MILLION = 1e6, 1e6


def budget(session: Session) -> None:
    """Multiplications and memory of a layer against the size of the input."""
    rec = session.rec
    side = st.select_slider(t("outlook.budget.side"), SIDES, 896, key=keys.BUDGET_SIDE, bind=URL)
    here = token_count(int(side), rec.patch_size[0])
    table = pd.DataFrame(
        {"tokens": n, "way": t(f"outlook.budget.{way}"), "millions": cost.operations / MILLION}
        for n in sorted({here, *(token_count(s, rec.patch_size[0]) for s in SIDES)})
        for way, cost in _costs(rec, n).items()
    )
    names = [t(f"outlook.budget.{way}") for way in _costs(rec, here)]
    rule = alt.Chart(pd.DataFrame({"tokens": [here]})).mark_rule(strokeDash=[4, 4])
    x = alt.X("tokens", title=t("cost.measure.tokens"), scale=alt.Scale(type="log"))
    draw_chart(
        alt.Chart(table)
        .mark_line()
        .encode(
            x=x,
            y=alt.Y("millions", title=t("outlook.budget.operations"), scale=alt.Scale(type="log")),
            **lines_by("way", names, title=None, legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("tokens", title=t("cost.measure.tokens"), format=","),
                alt.Tooltip("way", title=t("lesson.part")),
                alt.Tooltip("millions", title=t("outlook.budget.operations"), format=",.0f"),
            ],
        )
        + rule.encode(x=x),
        height=CHART,
    )
    rows = {
        t(f"outlook.budget.{way}"): (
            f"{cost.operations / MILLION:,.0f}",
            f"{cost.memory / MEGABYTE:,.1f}" if cost.memory else "–",
        )
        for way, cost in _costs(rec, here).items()
    }
    columns = [t("outlook.budget.operations"), t("outlook.budget.memory")]
    st.table(pd.DataFrame(list(rows.values()), list(rows), columns))
    st.caption(t("outlook.budget.caption", tokens=f"{here:,}", window=WINDOW))


def _costs(rec: Recording, tokens: int) -> dict[str, Mixing]:
    """What one layer of this model would pay for each way to look; and its matrices."""
    heads, width = rec.num_heads(0), attention_width(rec)
    found: dict[str, Mixing] = {
        way: mixing_cost(way, tokens, width, heads, WINDOW) for way in LOOKING
    }
    matrices = block_operations(tokens, width, block_weights(rec)).matrices
    return {**found, "matrices": Mixing(matrices, 0)}


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
    row, col = chosen_patch(session)
    allowed = pattern(kind, rec.grid, rec.num_prefix_tokens, layer)
    seen = allowed[rec.num_prefix_tokens + row * rec.grid[1] + col]
    weights, share = kept(rec.attention_row(layer, (row, col))[head], seen)
    photo, numbers = st.columns(2)
    with photo:
        pick_patch(session, attention_heat(session, weights))
    logits = run_once(rec, "pattern", kind, lambda: with_pattern(rec, kind), len(PATTERNS))
    with numbers:
        st.metric(t("outlook.patterns.share"), f"{share:.1%}")
        pairs = f"{int(allowed.sum()):,}", f"{allowed.numel():,}"
        st.caption(t("outlook.patterns.pairs", pairs=pairs[0], all=pairs[1]))
        st.caption(t("outlook.patterns.answers"))
        prediction_bars(_answers(rec, logits))


def linear(session: Session) -> None:
    """The same queries and keys with a softmax and with φ."""
    rec = session.rec
    layer, head = layer_and_head(session)
    row, col = chosen_patch(session)
    queries, offered, values = (given[0, head].float() for given in rec.layers[layer].given)
    own = rec.num_prefix_tokens + row * rec.grid[1] + col
    soft, flat = rec.attention(layer)[head], linear_weights(queries, offered)
    most = float(rec.patches(torch.stack([soft[own], flat[own]])).max())
    left, right = st.columns(2)
    with left:
        pick_patch(session, attention_heat(session, soft[own]), scale=(0.0, most))
        st.caption(t("outlook.linear.softmax", **_spread(soft[own])))
    with right:
        text = t("outlook.linear.linear", **_spread(flat[own]))
        heat = attention_heat(session, flat[own]).scaled(session.factor)
        picture = overlay(session.preview, heat, alpha=0.6, scale=(0.0, most))
        captioned(picture, text)
    n, dim = queries.shape
    apart = (flat @ values - linear_output(queries, offered, values)).abs().max()
    st.markdown(
        t(
            "outlook.linear.orders",
            first=f"{2 * n * n * dim:,}",
            second=f"{2 * n * dim * dim:,}",
            apart=_power(apart),
        )
    )


def pool(session: Session) -> None:
    """Four neighbours become one token before a layer."""
    rec = session.rec
    layer = st.slider(
        t("outlook.pool.layer"), 0, rec.num_layers - 1, 0, key=keys.POOL_LAYER, bind=URL
    )
    found = run_once(rec, "pooled", layer, lambda: pool_tokens(rec, layer), rec.num_layers)
    _fewer(session, found)


def merge(session: Session) -> None:
    """The most similar tokens become one in every layer."""
    _fewer(session, _merged(session))


def _merged(session: Session) -> Fewer:
    rec = session.rec
    pairs = st.slider(t("outlook.merge.pairs"), 0, MOST_PAIRS, 16, key=keys.PAIRS, bind=URL)
    return run_once(rec, "merged", pairs, lambda: merge_tokens(rec, pairs), 8)


def _fewer(session: Session, found: Fewer) -> None:
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
        prediction_bars(_answers(rec, found.logits))
        st.caption(t("outlook.pool.whole"))
        prediction_bars(rec.predictions[:CLASSES])


def flash(session: Session) -> None:
    """The chosen patch's row, some keys at a time, and what moves through the memory."""
    block = st.select_slider(t("outlook.flash.block"), BLOCKS, 64, key=keys.BLOCK, bind=URL)
    steps = _steps(session)
    found = blocked_attention(steps.scores, steps.values, block)
    table = pd.DataFrame(
        {
            t("outlook.flash.keys"): [step.keys for step in found],
            "m": [step.largest for step in found],
            t("outlook.flash.shrunk"): [step.shrunk for step in found],
            "ℓ": [step.total for step in found],
            "o₀": [float(step.output[0]) for step in found],
        }
    )
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(table, hide_index=True, column_config=dict.fromkeys(table.columns[1:], number))
    apart = (found[-1].output - steps.output).abs().max()
    st.markdown(t("outlook.flash.same", plain=f"{steps.output[0]:.4f}", apart=_power(apart)))
    st.table(_traffic(len(steps.query), block))
    layer, head = followed(session)
    place = chosen_patch(session)
    st.caption(t("outlook.flash.caption", row=place[0], col=place[1], layer=layer, head=head))


def _traffic(dim: int, block: int) -> pd.DataFrame:
    """Megabytes that one head moves, plain and in blocks, by the number of tokens."""
    columns = [t(f"outlook.flash.{name}") for name in ("plain", "blocked", "saved")]
    rows = {}
    for n in LONGER:
        moved = memory_traffic(n, dim, block)
        numbers = (moved.plain / MEGABYTE, moved.blocked / MEGABYTE, moved.plain / moved.blocked)
        rows[f"{n:,}"] = [f"{number:,.1f}" for number in numbers]
    names = pd.Index(list(rows), name=t("cost.measure.tokens"))
    return pd.DataFrame(list(rows.values()), names, columns)


def rope(session: Session) -> None:
    """A query and a key turned by their places, and their score."""
    steps = _steps(session)
    query, key = steps.query, steps.keys[int(steps.scores.argmax())]
    first, second = st.columns(2)
    m = first.slider(t("outlook.rope.query"), 0, PLACES, 3, key=keys.ROPE_QUERY, bind=URL)
    n = second.slider(t("outlook.rope.key"), 0, PLACES, 5, key=keys.ROPE_KEY, bind=URL)
    plane, curve = st.columns([2, 3])
    with plane:
        _arrows(query, key, m, n)
    with curve:
        _by_distance(query, key)
    here, further = (rotary_score(query, key, m + step, n + step) for step in (0, FURTHER))
    scores = rf"z({m},{n}) = {here:.4f},\quad z({m + FURTHER},{n + FURTHER}) = {further:.4f}"
    st.latex(scores)


def _arrows(query: Tensor, key: Tensor, m: int, n: int) -> None:
    """The first pair of numbers of both, before and after they are turned."""
    turned = {"q": (query, 0), f"q, {m}": (query, m), "k": (key, 0), f"k, {n}": (key, n)}
    ends = {
        name: rotated(vector, torch.tensor(place))[:2].tolist()
        for name, (vector, place) in turned.items()
    }
    rows = [(name, *point) for name, end in ends.items() for point in ((0.0, 0.0), end)]
    table = pd.DataFrame(rows, columns=["what", "x", "y"])
    most = 1.1 * float(table[["x", "y"]].abs().to_numpy().max())
    scale = alt.Scale(domain=[-most, most])
    lines = alt.Chart(table).mark_line(strokeWidth=4)
    draw_chart(
        lines.encode(
            x=alt.X("x", title=t("outlook.rope.first"), scale=scale),
            y=alt.Y("y", title=t("outlook.rope.second"), scale=scale),
            **lines_by("what", list(ends), title=None, legend=alt.Legend(orient="bottom")),
            tooltip=[
                alt.Tooltip("what", title=t("lesson.part")),
                alt.Tooltip("x", title=t("outlook.rope.first"), format=".3f"),
                alt.Tooltip("y", title=t("outlook.rope.second"), format=".3f"),
            ],
        ),
        height=chart_height(320),
    )


def _by_distance(query: Tensor, key: Tensor) -> None:
    """The score against n − m, from two places of the query: the points lie on the line."""
    distances = range(-PLACES, PLACES + 1)
    rows = [(d, rotary_score(query, key, at, at + d), at) for at in (0, FURTHER) for d in distances]
    table = pd.DataFrame(rows, columns=["distance", "score", "at"])
    x = alt.X(
        "distance",
        title=t("outlook.rope.distance"),
        scale=alt.Scale(domain=[-PLACES, PLACES], nice=False),
    )
    y = alt.Y("score", title=t("outlook.rope.score"), scale=alt.Scale(zero=False))
    tooltip = [
        alt.Tooltip("distance", title=t("outlook.rope.distance")),
        alt.Tooltip("score", title=t("outlook.rope.score"), format=".4f"),
    ]
    line = alt.Chart(table[table["at"] == 0]).mark_line()
    dots = alt.Chart(table[table["at"] == FURTHER]).mark_circle(size=60)
    draw_chart(
        line.encode(x=x, y=y, tooltip=tooltip) + dots.encode(x=x, y=y, tooltip=tooltip),
        height=chart_height(320),
    )


def state(session: Session) -> None:
    """What is left of each patch when a scan has come to the chosen one."""
    rec = session.rec
    decay = st.select_slider(t("outlook.state.decay"), DECAYS, 0.9, key=keys.DECAY, bind=URL)
    scan = choice(
        st.segmented_control,
        t("outlook.state.scan"),
        SCANS,
        SCANS[0],
        keys.SCAN,
        lambda name: t(f"outlook.state.{name}"),
        required=True,
    )
    row, col = chosen_patch(session)
    left = reach(rec.grid, (row, col), decay, scan)
    photo, numbers = st.columns(2)
    with photo:
        pick_patch(session, Heatmap(left.float().numpy(), rec.box, "state"), scale=(0.0, 1.0))
    with numbers:
        if col:
            st.metric(t("outlook.state.beside"), f"{left[row, col - 1]:.1%}")
        if row:
            st.metric(t("outlook.state.above"), f"{left[row - 1, col]:.1%}")
        means = patch_means(rec).flatten()
        apart = (scanned(means, decay) - by_kernel(means, decay)).abs().max()
        st.caption(t("outlook.state.same", count=len(means), apart=_power(apart)))


def task(session: Session) -> None:
    """How many pairs a photo bears before its first answer changes."""
    rec = session.rec
    found = _merged(session)
    best = _answers(rec, found.logits)[0]
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


def _power(number: Tensor) -> str:
    """A number of one digit with its power of ten, such as 8·10⁻⁷."""
    digit, power = f"{number:.0e}".split("e")
    return f"{digit}·10{str(int(power)).translate(SUPERSCRIPT)}" if number else "0"


def _answers(rec: Recording, logits: Tensor) -> list[Prediction]:
    """The model's first classes by other logits."""
    return rank_classes(rec.vit, rec.reading, logits)[:CLASSES]


def _spread(weights: Tensor) -> dict[str, str]:
    """The largest weight of a row, and how widely it is spread."""
    return {"largest": f"{weights.max():.1%}", "entropy": f"{entropy(weights):.2f}"}


def _steps(session: Session) -> AttentionSteps:
    """What the followed head computes for the chosen patch."""
    return head_steps(session.rec, *followed(session), chosen_patch(session))


LESSON = Lesson(
    "outlook",
    (
        Step("budget", budget, guess=True, formula=r"2\,n^2 w \quad 2\,n\,m\,w \quad 2\,n\,d\,w"),
        Step("patterns", patterns),
        Step(
            "linear",
            linear,
            formula=(
                r"\varphi(x) = \max(x, 0) + e^{\min(x, 0)}"
                r" \\ (\varphi(Q)\,\varphi(K)^{T})\, V = \varphi(Q)\,(\varphi(K)^{T} V)"
            ),
        ),
        Step("pool", pool),
        Step("merge", merge, guess=True, formula=r"z_j = \dfrac{q \cdot k_j}{\sqrt{d}} + \ln s_j"),
        Step(
            "flash",
            flash,
            guess=True,
            formula=(
                r"m' = \max(m, z) \\ \ell' = e^{m - m'}\,\ell + \sum e^{z - m'}"
                r" \\ \ell' o' = e^{m - m'}\,\ell\, o + \sum e^{z - m'} v"
            ),
        ),
        Step("rope", rope, formula=r"(R_m q)\cdot(R_n k) = q \cdot R_{n-m}\, k"),
        Step("state", state, formula=r"h_t = a\,h_{t-1} + b\,x_t, \quad y_t = c\,h_t"),
    ),
    task,
    {
        "Liu et al. 2021: Swin Transformer": "https://arxiv.org/abs/2103.14030",
        "Beltagy et al. 2020: Longformer": "https://arxiv.org/abs/2004.05150",
        "Katharopoulos et al. 2020: Transformers are RNNs": "https://arxiv.org/abs/2006.16236",
        "Bolya et al. 2022: Token merging": "https://arxiv.org/abs/2210.09461",
        "Dao et al. 2022: FlashAttention": "https://arxiv.org/abs/2205.14135",
        "Su et al. 2021: RoFormer": "https://arxiv.org/abs/2104.09864",
        "Gu & Dao 2023: Mamba": "https://arxiv.org/abs/2312.00752",
    },
)
