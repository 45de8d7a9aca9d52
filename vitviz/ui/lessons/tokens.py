"""Lesson 1: a photo becomes a list of vectors."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch
import torch.nn.functional as F
from PIL import Image

from vitviz.overlay import input_picture, show_input
from vitviz.tokens import patch_pixels, patch_vectors, projection, smoothest, token_count
from vitviz.ui.language import t
from vitviz.ui.lesson import Lesson, Step
from vitviz.ui.lesson_widgets import colours, pick_patch
from vitviz.ui.session import Session

FILTERS = 32
NUMBERS_WIDE = 64  # of a vector in one row of its picture


def cut(session: Session) -> None:
    """The model's own input with the borders of its patches."""
    rows, cols = session.rec.grid
    caption = t("tokens.cut.caption", rows=rows, cols=cols, patches=rows * cols)
    st.image(show_input(session.rec), caption=caption, alt=caption, width=520)


def numbers(session: Session) -> None:
    """The chosen patch, large, and its numbers in one colour channel."""
    photo, close = st.columns(2)
    with photo:
        patch = pick_patch(session)
    pixels = patch_pixels(session.rec, patch)
    with close:
        picture = input_picture(session.rec.vit, pixels)
        caption = t("tokens.numbers.caption", row=patch[0], col=patch[1], count=pixels.numel())
        st.image(picture.resize((280, 280), Image.Resampling.NEAREST), caption=caption, alt=caption)
    names = t("tokens.numbers.channels").split("|")
    channel = st.segmented_control(
        t("tokens.numbers.channel"),
        range(3),
        default=0,
        required=True,
        format_func=names.__getitem__,
        key="channel",
    )
    st.dataframe(pd.DataFrame(pixels[channel].numpy()).style.format("{:.1f}"), hide_index=True)


def filters(session: Session) -> None:
    """The smoothest filters as small pictures."""
    weight, _ = projection(session.rec.vit)
    with st.container(horizontal=True, gap="small", key="filters"):
        for index in smoothest(weight)[:FILTERS].sort().values.tolist():
            shown = weight[index] / weight[index].abs().max() / 2 + 0.5
            tile = (shown.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            picture = Image.fromarray(tile).resize((70, 70), Image.Resampling.NEAREST)
            name = t("tokens.filters.alt", index=index)
            st.image(picture, alt=name, width=70)


def vector(session: Session) -> None:
    """The chosen patch times one filter gives one number; all filters give the vector."""
    photo, result = st.columns(2)
    with photo:
        patch = pick_patch(session)
    weight, bias = projection(session.rec.vit)
    index = st.slider(t("tokens.vector.number"), 0, len(weight) - 1, 0, key="number")
    found = patch_vectors(session.rec)[patch]
    product = weight[index] * patch_pixels(session.rec, patch)
    with result:
        padded = F.pad(found, (0, -len(found) % NUMBERS_WIDE)).reshape(-1, NUMBERS_WIDE)
        scale = float(found.abs().max())
        caption = t("tokens.vector.caption", width=len(found), scale=f"{scale:.2f}")
        st.image(colours(padded.numpy(), scale, 8), caption=caption, alt=caption, width="stretch")
    st.latex(
        rf"\sum_{{i=1}}^{{{product.numel()}}} w_i\,x_i + b"
        rf" = {product.sum():.4f} {bias[index]:+.4f} = {found[index]:.4f}"
    )


def prefix(session: Session) -> None:
    """The tokens in the order in which the model reads them."""
    rec = session.rec
    patches = rec.grid[0] * rec.grid[1]
    count = rec.num_prefix_tokens
    first, second, third = st.columns(3)
    first.metric(t("tokens.prefix.prefix"), count)
    second.metric(t("tokens.prefix.patches"), patches)
    third.metric(t("tokens.prefix.tokens"), rec.num_tokens)
    vectors = patch_vectors(rec).flatten(0, 1)
    learned = getattr(rec.vit.module, "cls_token", torch.zeros(1, 1, vectors.shape[-1]))
    tokens = torch.cat([learned.detach()[0].float(), vectors])[:24]
    scale = float(tokens.abs().quantile(0.99))
    caption = t("tokens.prefix.caption", shown=len(tokens))
    st.image(colours(tokens.numpy(), scale, 4), caption=caption, alt=caption, width="stretch")


def resolution(session: Session) -> None:
    """How many tokens, and entries of one attention map, an input and a patch size give."""
    del session
    side = st.slider(t("tokens.resolution.side"), 112, 896, 224, 112, key="side")
    size = st.segmented_control(
        t("tokens.resolution.patch"), [8, 14, 16, 32], default=14, required=True, key="patch_size"
    )
    count = token_count(side, size)
    first, second = st.columns(2)
    first.metric(t("tokens.resolution.tokens"), f"{count:,}")
    second.metric(t("tokens.resolution.entries"), f"{count**2:,}")
    sides = range(112, 897, 112)
    table = pd.DataFrame(
        [(s, p, token_count(s, p)) for p in (8, 14, 16, 32) for s in sides],
        columns=["side", "patch", "tokens"],
    )
    lines = alt.Chart(table).mark_line(point=True)
    st.altair_chart(
        lines.encode(
            x=alt.X("side", title=t("tokens.resolution.side")),
            y=alt.Y("tokens", title=t("tokens.resolution.tokens")),
            color=alt.Color("patch:N", title=t("tokens.resolution.patch")),
            tooltip=["side", "patch", "tokens"],
        ),
        height=300,
    )


def task(session: Session) -> None:
    """How alike every patch's vector is to the chosen one's."""
    vectors = patch_vectors(session.rec)
    patch = pick_patch(session)
    alike = F.cosine_similarity(vectors, vectors[patch], dim=-1)
    alike[patch] = -1.0
    row, col = divmod(int(alike.argmax()), session.rec.grid[1])
    st.markdown(t("tokens.task", row=row, col=col, alike=f"{alike[row, col]:.2f}"))


LESSON = Lesson(
    1,
    "tokens",
    (
        Step("cut", cut, guess=True),
        Step("numbers", numbers),
        Step("filters", filters),
        Step("vector", vector, formula=r"z = W x + b"),
        Step("prefix", prefix),
        Step("resolution", resolution, guess=True),
    ),
    task,
    {
        "Dosovitskiy et al. 2020: An image is worth 16x16 words": "https://arxiv.org/abs/2010.11929",
        "Darcet et al. 2023: Vision transformers need registers": "https://arxiv.org/abs/2309.16588",
        "Oquab et al. 2023: DINOv2": "https://arxiv.org/abs/2304.07193",
    },
)
