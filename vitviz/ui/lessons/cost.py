"""What it costs, and where its limits are."""

from __future__ import annotations

from urllib.parse import urlencode

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch

from vitviz.heatmap import Heatmap
from vitviz.inside.cost import (
    Timing,
    attention_width,
    block_operations,
    block_weights,
    fitted,
    map_bytes,
    measure_cost,
)
from vitviz.inside.tokens import token_count
from vitviz.methods.artefacts import artefact_patches, attention_received, attention_sinks
from vitviz.recording.recording import Recording
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import UPRIGHT, pick_patch
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import language, t
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.works import on_request

PATCHES_ACROSS = (8, 12, 16, 24, 32, 40)  # of the measured inputs
PATCH_SIZES = (8, 14, 16, 32)
MEGABYTE = 1e6
CHART = 200  # px, of two side by side
FEW = alt.Axis(tickCount=4)
INSIDE = alt.Legend(orient="top-left", columns=1, labelLimit=300, offset=0, padding=0, rowPadding=0)
FACTS = ("global", "assumptions", "data", "cost", "places")


def timing(session: Session) -> None:
    """Time and memory of this machine against the number of tokens."""
    rec = session.rec
    sides = [rec.patch_size[0] * across for across in PATCHES_ACROSS]
    timings: list[Timing] | None = rec.derived.last("cost")
    measured = on_request(
        "cost",
        rec.derived,
        t("cost.timing.again" if timings else "cost.timing.run"),
        ":material/timer:",
        t("cost.timing.running"),
        lambda work: rec.derived.keep(None, measure_cost(rec, sides, work.progress), "cost"),
    )
    if measured:
        st.rerun()  # with the button
    if timings is None:
        return
    found = pd.DataFrame(
        {
            "side": x.side,
            "tokens": x.tokens,
            "seconds": x.seconds,
            "recorded": x.recorded / MEGABYTE,
            "maps": map_bytes(x.tokens, rec.num_heads(0), rec.num_layers) / MEGABYTE,
        }
        for x in timings
    )
    a, b, c = fitted([x.tokens for x in timings], [x.seconds for x in timings])
    time, memory = st.columns(2)
    with time:
        _times(found, (a, b, c))
    with memory:
        _memory(found)
    st.latex(
        rf"t \approx {a:.2f} {b * 1e3:+.2f}\cdot 10^{{-3}}\,n {c * 1e6:+.2f}\cdot 10^{{-6}}\,n^2"
    )
    formats = {"tokens": "{:,}", "seconds": "{:.3f}", "recorded": "{:,.1f}", "maps": "{:,.1f}"}
    rows = {t(f"cost.timing.{key}"): found[key].map(form.format) for key, form in formats.items()}
    table = pd.DataFrame(rows).set_axis(found["side"].map(str)).T
    st.table(table.rename_axis(t("cost.timing.side")))


def _times(found: pd.DataFrame, curve_of: tuple[float, float, float]) -> None:
    """The measured times and the curve a + b n + c n² through them."""
    a, b, c = curve_of
    across = np.linspace(found["tokens"].min(), found["tokens"].max(), 60)
    curve = pd.DataFrame({"tokens": across, "seconds": a + b * across + c * across**2})
    x = alt.X("tokens", title=t("cost.timing.tokens"), axis=FEW)
    y = alt.Y("seconds", title=t("cost.timing.seconds"), axis=FEW)
    tooltip = [
        alt.Tooltip("tokens", title=t("cost.timing.tokens"), format=","),
        alt.Tooltip("seconds", title=t("cost.timing.seconds"), format=".3f"),
    ]
    dots = alt.Chart(found).mark_circle(size=90).encode(x=x, y=y, tooltip=tooltip)
    draw_chart(alt.Chart(curve).mark_line().encode(x=x, y=y) + dots, height=CHART)


def _memory(found: pd.DataFrame) -> None:
    """What a recording kept, beside all maps."""
    names = {key: t(f"cost.timing.{key}") for key in ("recorded", "maps")}
    table = found.rename(columns=names).melt("tokens", list(names.values()), "what", "size")
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("tokens", title=t("cost.timing.tokens"), axis=FEW),
            y=alt.Y("size", title=t("cost.timing.size"), axis=FEW),
            **lines_by("what", title=None, legend=INSIDE),
            tooltip=[
                alt.Tooltip("tokens", title=t("cost.timing.tokens"), format=","),
                alt.Tooltip("what", title=t("lesson.part")),
                alt.Tooltip("size", title=t("cost.timing.size"), format=",.1f"),
            ],
        ),
        height=CHART,
    )


def operations(session: Session) -> None:
    """Multiplications of a block: what grows with n, and what with n²."""
    rec = session.rec
    width, weights = _sizes(rec)
    equal = weights // (2 * width)
    counts = np.unique(np.geomspace(50, 2 * equal, 40).astype(int))
    table = pd.DataFrame(
        {"tokens": int(n), "part": t(f"cost.operations.{part}"), "millions": count / 1e6}
        for n in counts
        for part, count in vars(block_operations(int(n), width, weights)).items()
    )
    lines = alt.Chart(table).mark_line()
    draw_chart(
        lines.encode(
            x=alt.X("tokens", title=t("tokens.resolution.tokens")),
            y=alt.Y("millions", title=t("cost.operations.millions")),
            **lines_by("part", title=None, legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("tokens", title=t("tokens.resolution.tokens"), format=","),
                alt.Tooltip("part", title=t("lesson.part")),
                alt.Tooltip("millions", title=t("cost.operations.millions"), format=",.0f"),
            ],
        ),
        height=320,
    )
    here = block_operations(rec.num_tokens, width, weights)
    first, second = st.columns(2)
    share = here.attention / (here.attention + here.matrices)
    first.metric(t("cost.operations.share", tokens=rec.num_tokens), f"{share:.1%}")
    second.metric(t("cost.operations.equal"), f"{equal:,}")
    ratio = f"{weights / width**2:g}"
    st.caption(t("cost.operations.here", weights=f"{weights:,}", ratio=ratio, width=width))


def _sizes(rec: Recording) -> tuple[int, int]:
    """Width of the queries of all heads together, and numbers in a block's matrices."""
    return attention_width(rec), block_weights(rec)


def resolution(session: Session) -> None:
    """Patch size against resolution: tokens, multiplications and maps."""
    rec = session.rec
    width, weights = _sizes(rec)
    side = st.slider(t("tokens.resolution.side"), 112, 1344, 448, 112, key=keys.COST_SIDE, bind=URL)
    rows = []
    for patch in PATCH_SIZES:
        n = token_count(side, patch)
        block = block_operations(n, width, weights)
        total = rec.num_layers * (block.attention + block.matrices) / 1e9
        maps = map_bytes(n, rec.num_heads(0), rec.num_layers) / MEGABYTE
        rows.append((patch, n, total, maps))
    formats = {"tokens": "{:,}", "operations": "{:,.1f}", "maps": "{:,.1f}"}
    found = pd.DataFrame(rows, columns=["patch", *formats])
    for column, key in zip(st.columns(2), ("operations", "maps"), strict=True):
        with column:
            _by_patch_size(found, key)
    names = {key: t(f"cost.resolution.{key}") for key in found.columns}
    table = found.rename(columns=names).set_index(names["patch"])
    st.table(table.style.format({names[key]: form for key, form in formats.items()}))
    st.caption(t("cost.resolution.caption", layers=rec.num_layers, weights=f"{weights:,}"))


def _by_patch_size(found: pd.DataFrame, key: str) -> None:
    """One of the costs as bars."""
    bars = alt.Chart(found).mark_bar()
    draw_chart(
        bars.encode(
            x=alt.X("patch:O", title=t("cost.resolution.patch"), axis=UPRIGHT),
            y=alt.Y(key, title=t(f"cost.resolution.{key}"), axis=FEW),
            tooltip=[
                alt.Tooltip("patch", title=t("cost.resolution.patch")),
                alt.Tooltip(key, title=t(f"cost.resolution.{key}"), format=",.1f"),
            ],
        ),
        height=CHART,
    )


def facts(session: Session) -> None:
    """ViT beside a CNN, in words with sources."""
    del session
    rows = [
        {
            t("cost.facts.what"): t(f"cost.facts.{key}.what"),
            "ViT": t(f"cost.facts.{key}.vit"),
            "CNN": t(f"cost.facts.{key}.cnn"),
        }
        for key in FACTS
    ]
    st.table(pd.DataFrame(rows).set_index(t("cost.facts.what")))
    same = {key: st.query_params[key] for key in ("sample", "present") if key in st.query_params}
    address = urlencode({"step": 5, "lang": language(), **same})
    st.markdown(f"[{t('cost.facts.link')}](positions?{address})")


def artefacts(session: Session) -> None:
    """How long each patch's vector is at the end, which are artefact tokens, which are sinks."""
    rec = session.rec
    found, sinks = artefact_patches(rec), attention_sinks(rec)
    assert rec.norms is not None  # artefact_patches has refused such a model
    lengths = rec.patches(rec.norms)
    received = torch.stack([attention_received(rec, layer) for layer in range(rec.num_layers)])
    most = rec.patches(received).flatten(1).amax(dim=1)
    layer = int(most.argmax())
    heat = Heatmap(lengths.float().numpy(), rec.box, "norms")
    photo, numbers = st.columns([2, 1])
    with photo:
        rings, crosses = found.nonzero().tolist(), sinks.nonzero().tolist()
        pick_patch(session, heat, t("cost.artefacts.length"), rings, crosses)
    with numbers:
        st.metric(t("cost.artefacts.count"), int(found.sum()))
        longest = f"{lengths.max() / lengths.median():.2f}"
        st.metric(t("cost.artefacts.longest"), t("cost.artefacts.times", times=longest))
        st.metric(t("cost.artefacts.sinks"), int(sinks.sum()))
        times = t("cost.artefacts.times", times=f"{most[layer]:.1f}")
        st.metric(t("cost.artefacts.most", layer=layer), times)


def task(session: Session) -> None:
    """How many tokens and how large maps an input of one's own would need."""
    side = st.number_input(t("cost.task.side"), 112, 8192, 4032, key=keys.OWN_SIDE, bind=URL)
    patch = session.rec.patch_size[0]
    n = token_count(int(side), patch)
    heads, layers = session.rec.num_heads(0), session.rec.num_layers
    size = map_bytes(n, heads, layers) / 1e9
    first, second = st.columns(2)
    first.metric(t("cost.task.tokens", patch=patch), f"{n:,}")
    second.metric(t("cost.task.maps"), f"{size:,.1f} GB")


LESSON = Lesson(
    "cost",
    (
        Step("timing", timing, guess=True, formula=r"t \approx c_0 + c_1\,n + c_2\,n^2"),
        Step("operations", operations, formula=r"12\,n\,w^2 + 2\,n^2 w"),
        Step("resolution", resolution),
        Step("facts", facts),
        Step("artefacts", artefacts),
    ),
    task,
    {
        "Dosovitskiy et al. 2020: An image is worth 16x16 words": "https://arxiv.org/abs/2010.11929",
        "Darcet et al. 2023: Vision transformers need registers": "https://arxiv.org/abs/2309.16588",
        "Liu et al. 2021: Swin Transformer": "https://arxiv.org/abs/2103.14030",
    },
)
