"""A photo becomes a list of vectors."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from vitviz.inside.tokens import (
    filter_components,
    patch_pixels,
    patch_vectors,
    projection,
    share_along,
    smoothest,
    token_count,
)
from vitviz.pictures.input import draw_grid, input_picture, show_input
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    calculation,
    captioned,
    chosen_patch,
    colours,
    in_rows,
    pick_patch,
)
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.presenting import presented
from vitviz.ui.visit.session import Session

FILTERS, FILTERS_WIDE = 32, 8
NUMBERS_WIDE = 64  # of a vector in one row of its picture
CELL = 12  # pixels a number of that picture
SHOWN = 12  # of the tokens
ROW = 24  # pixels of a token in their picture
BLUE = 2  # the channel that is shown first: in it the first photo has negative numbers


def cut(session: Session) -> None:
    """The model's own input with the borders of its patches."""
    rows, cols = session.rec.grid
    caption = t("tokens.cut.caption", rows=rows, cols=cols, patches=rows * cols)
    captioned(show_input(session.rec), caption)


def numbers(session: Session) -> None:
    """The chosen patch, large, and its numbers in one colour channel."""
    photo, table = st.columns([2, 3])
    with photo:
        patch = pick_patch(session)
        pixels = patch_pixels(session.rec, patch)
        caption = t("tokens.numbers.caption", row=patch[0], col=patch[1], count=pixels.numel())
        st.image(_enlarged(input_picture(session.rec.vit, pixels)), caption=caption, alt=caption)
    names = t("tokens.numbers.channels").split("|")
    with table:
        channel = st.segmented_control(
            t("tokens.numbers.channel"),
            range(3),
            default=BLUE,
            required=True,
            format_func=names.__getitem__,
            key=keys.CHANNEL,
        )
        _written(pixels[channel])


def filters(session: Session) -> None:
    """The filters' main components on one sheet, or the broadest of the filters themselves."""
    weight, _ = projection(session.rec.vit)
    shown: str = choice(
        st.segmented_control,
        t("tokens.filters.show"),
        ("components", "broadest"),
        "components",
        keys.FILTERS_SHOWN,
        lambda kind: t(f"tokens.filters.{kind}"),
        required=True,
    )
    found, shares = filter_components(weight, FILTERS)
    values: dict[str, object] = {
        "share": f"{shares.sum():.0%}",
        "first": f"{shares[0]:.1%}",
        "in_photo": f"{share_along(session.rec, found):.1%}",
    }
    if shown == "broadest":
        chosen = smoothest(weight)[:FILTERS].sort().values
        found, values = weight[chosen], {"numbers": ", ".join(map(str, chosen.tolist()))}
    tiles = np.stack([np.asarray(_filter_picture(pattern)) for pattern in found])
    opaque = np.pad(tiles, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=255)
    ringed = np.pad(opaque, ((0, 0), (1, 1), (1, 1), (0, 0)))  # clear gaps between them
    _, height, width, _ = ringed.shape
    rows = ringed.reshape(-1, FILTERS_WIDE, height, width, 4).swapaxes(1, 2)
    sheet = Image.fromarray(rows.reshape(-1, FILTERS_WIDE * width, 4))
    caption = t(f"tokens.filters.{shown}_caption", count=FILTERS, filters=len(weight), **values)
    captioned(_enlarged(sheet, 6), caption)


def vector(session: Session) -> None:
    """The chosen patch times one filter gives one number; all filters give the vector."""
    photo, left, right = st.columns([2, 1, 1])
    with photo:
        patch = pick_patch(session)
    weight, bias = projection(session.rec.vit)
    index = st.slider(t("tokens.vector.number"), 0, len(weight) - 1, 0, key=keys.NUMBER)
    found = patch_vectors(session.rec)[patch]
    pixels = patch_pixels(session.rec, patch)
    product = weight[index] * pixels
    shown = (
        (left, "patch", input_picture(session.rec.vit, pixels)),
        (right, "filter", _filter_picture(weight[index])),
    )
    for column, name, picture in shown:
        text = t(f"tokens.vector.{name}", index=index)
        column.image(_enlarged(picture), caption=text, alt=text)
    scale = float(found.abs().max())
    caption = t("tokens.vector.caption", width=len(found), scale=f"{scale:.2f}")
    bars = _outlined(
        colours(in_rows(found, NUMBERS_WIDE), scale, CELL), divmod(index, NUMBERS_WIDE)
    )
    captioned(bars, caption)
    calculation(
        f"x_{{{index}}}",
        rf"\textstyle\sum_{{m=0}}^{{{product.numel() - 1}}} W_{{{index},m}}\,p_m + b_{{{index}}}",
        f"{product.sum():.4f} {bias[index]:+.4f} = {found[index]:.4f}",
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
    learned = rec.vit.anatomy.class_token
    in_front = vectors[:0] if learned is None else learned.detach()[0].float()
    tokens = torch.cat([in_front, vectors])[:SHOWN]
    scale = float(tokens.abs().quantile(0.99))
    caption = t("tokens.prefix.caption", shown=len(tokens))
    rows = colours(tokens.numpy(), scale, 2)
    rows = rows.resize((rows.width, ROW * len(tokens)), Image.Resampling.NEAREST)
    if len(in_front):  # so small at first that it is all but white
        place = (0, 0, rows.width - 1, ROW * len(in_front) - 1)
        ImageDraw.Draw(rows).rectangle(place, outline="black", width=2)
    captioned(rows, caption)


def resolution(session: Session) -> None:
    """The photo cut otherwise; how many tokens, and entries of one attention map, that gives."""
    left, right = st.columns(2)
    side = left.slider(t("tokens.resolution.side"), 112, 896, 224, 112, key=keys.SIDE)
    size = right.segmented_control(
        t("tokens.resolution.patch"),
        [8, 14, 16, 32],
        default=14,
        required=True,
        key=keys.PATCH_SIZE,
    )
    count = token_count(side, size)
    cut_photo, chart = st.columns([2, 3])
    rows = side // size
    caption = t("tokens.cut.caption", rows=rows, cols=rows, patches=rows * rows)
    enlarged = input_picture(session.rec.vit, session.rec.pixels).resize((896, 896))
    cell = 896 * size / side
    with cut_photo:
        st.image(draw_grid(enlarged, (cell, cell)), caption=caption, alt=caption)
    with chart:
        _growth()
    first, second = st.columns([2, 3])
    first.metric(t("tokens.resolution.tokens"), f"{count:,}")
    second.metric(t("tokens.resolution.entries"), f"{count**2:,}")


def _growth() -> None:
    """Tokens by side and patch size."""
    sides = range(112, 897, 112)
    table = pd.DataFrame(
        [(s, p, token_count(s, p)) for p in (8, 14, 16, 32) for s in sides],
        columns=["side", "patch", "tokens"],
    )
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("side", title=t("tokens.resolution.axis"), axis=alt.Axis(tickCount=4)),
            y=alt.Y("tokens", title=t("tokens.resolution.tokens")),
            **lines_by(
                "patch:N",
                title=t("tokens.resolution.patch"),
                legend=alt.Legend(orient="bottom"),
            ),
            tooltip=[
                alt.Tooltip("side", title=t("tokens.resolution.axis")),
                alt.Tooltip("patch", title=t("tokens.resolution.patch")),
                alt.Tooltip("tokens", title=t("tokens.resolution.tokens"), format=","),
            ],
        ),
        height=300,
    )


def task(session: Session) -> None:
    """How alike every patch's vector is to the chosen one's."""
    vectors = patch_vectors(session.rec)
    patch = chosen_patch(session)
    alike = F.cosine_similarity(vectors, vectors[patch], dim=-1)
    alike[patch] = -1.0
    row, col = divmod(int(alike.argmax()), session.rec.grid[1])
    pick_patch(session, marks=[[row, col]])
    st.markdown(t("tokens.task", row=row, col=col, alike=f"{alike[row, col]:.2f}"))


def _enlarged(picture: Image.Image, times: int = 20) -> Image.Image:
    """Each pixel as a square."""
    size = (picture.width * times, picture.height * times)
    return picture.resize(size, Image.Resampling.NEAREST)


def _filter_picture(weights: torch.Tensor) -> Image.Image:
    """A filter (3, height, width) as a picture: grey is a weight of zero."""
    shown = weights / weights.abs().max() / 2 + 0.5
    return Image.fromarray((shown.permute(1, 2, 0).numpy() * 255).astype(np.uint8))


def _outlined(picture: Image.Image, cell: tuple[int, int]) -> Image.Image:
    """The colour bar with the chosen number, (row, column), in a frame."""
    y, x = (CELL * at for at in cell)
    ImageDraw.Draw(picture).rectangle((x, y, x + CELL, y + CELL), outline="black", width=2)
    return picture


def _written(channel: torch.Tensor) -> None:
    """One channel of a patch, (height, width), as grey squares with their numbers on them."""
    table = pd.DataFrame(
        {"row": row, "col": col, "value": float(value)}
        for (row, col), value in np.ndenumerate(channel.numpy())
    )
    plain = {"labels": False, "ticks": False, "domain": False}
    squares = alt.Chart(table).encode(
        x=alt.X("col:O", title=None, axis=plain), y=alt.Y("row:O", title=None, axis=plain)
    )
    grey = alt.Scale(scheme="greys", reverse=True, nice=False, zero=False)
    middle = (table["value"].min() + table["value"].max()) / 2
    ink = alt.when(alt.datum.value > middle).then(alt.value("black")).otherwise(alt.value("white"))
    draw_chart(
        squares.mark_rect().encode(color=alt.Color("value", scale=grey, legend=None))
        + squares.mark_text(fontSize=presented(10)).encode(
            text=alt.Text("value", format=".1f"), color=ink
        ),
        height=360,
    )


LESSON = Lesson(
    "tokens",
    (
        Step("cut", cut, guess=True),
        Step("numbers", numbers),
        Step("filters", filters),
        Step("vector", vector, formula=r"x = W p + b"),
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
