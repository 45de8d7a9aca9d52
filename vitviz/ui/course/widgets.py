"""What several lessons show: the photo with a patch to choose, and numbers as colours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from vitviz.heatmap import Heatmap
from vitviz.inside.attention_steps import AttentionSteps, head_steps
from vitviz.memo import Memo
from vitviz.methods.explain import explain
from vitviz.pictures.input import input_picture
from vitviz.pictures.overlay import colorize, overlay
from vitviz.recording.recording import Recording
from vitviz.ui.controls.choice import choice
from vitviz.ui.controls.question import typical_head
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.patch_map import patch_map
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.session import Look, Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.turns import turn

DIVERGING = "RdBu_r"
ROOM_FOR_A_SIGN = 8  # px a number
HATCH = 6  # px between two lines of negative areas
NEARLY_ZERO = 0.05  # of the largest
PATCH = "patch"  # in the address
CLASSES = 4  # of a prediction
OFFERED_CLASSES = 10
UPRIGHT = {"labelAngle": 0}  # numbers below a chart that stand upright
T = TypeVar("T")


def pick_patch(
    session: Session,
    heat: Heatmap | None = None,
    meaning: str = "",
    marks: Sequence[list[int]] = (),
    crosses: Sequence[list[int]] = (),
    scale: tuple[float, float] | None = None,
) -> tuple[int, int]:
    """The photo, under a map if there is one; a click chooses the patch that the lessons follow.

    The patch is in the address; at first it is the one in the middle.

    Args:
        marks: patches to mark with a ring, as [row, column].
        crosses: patches to mark with a cross.
        scale: values of the lowest and highest colour; None gives the map its own.
    """
    rows, cols = session.rec.grid
    bare = Heatmap(np.zeros(session.rec.grid, np.float32), session.rec.box, "none")
    patch = chosen_patch(session)
    look = Look("inferno", 0.6 if heat else 0.0, True)
    patch_map(
        session,
        heat or bare,
        None,
        look,
        query=patch,
        scale=scale,
        marks=list(marks),
        crosses=list(crosses),
        meaning=meaning,
        alt=t("lesson.photo_alt", row=patch[0], col=patch[1], rows=rows, cols=cols),
        key=keys.LESSON_PHOTO,
        on_query=_keep_patch,
    )
    return patch


def chosen_patch(session: Session) -> tuple[int, int]:
    """The patch in the address, or the one in the middle."""
    rows, cols = session.rec.grid
    parts = st.query_params.get(PATCH, visit().patch).split(",")
    if len(parts) == 2 and all(part.isdecimal() and len(part) < 4 for part in parts):
        row, col = map(int, parts)
        if row < rows and col < cols:
            return row, col
    return rows // 2, cols // 2


def _keep_patch() -> None:
    query = st.session_state[keys.LESSON_PHOTO].query
    if query != "cls":  # a second click on the same patch
        st.query_params[PATCH] = visit().patch = query


def colours(values: NDArray[np.float32], scale: float, enlarge: int = 1) -> Image.Image:
    """Numbers as colours, (rows, cols) → picture: blue is negative, red positive, white is zero.
    A negative number has its sign, where there is room for it, else negative areas are hatched.

    Args:
        scale: the size of the numbers drawn in the fullest colours.
        enlarge: pixels a number.
    """
    picture = Image.fromarray(colorize(values, DIVERGING, (-scale, scale)))
    size = (picture.width * enlarge, picture.height * enlarge)
    picture = picture.resize(size, Image.Resampling.NEAREST)
    if enlarge >= ROOM_FOR_A_SIGN:
        _sign(picture, values, scale, enlarge)
        return picture
    return _hatched(picture, values, scale, enlarge)


def _sign(picture: Image.Image, values: NDArray[np.float32], scale: float, side: int) -> None:
    """A minus on every negative number that is not nearly zero."""
    pen = ImageDraw.Draw(picture)
    for row, col in np.argwhere(values < -NEARLY_ZERO * scale).tolist():
        ink = "#ffffff" if values[row, col] < -scale / 2 else "#0b3558"
        x, y = (col + 0.5) * side, (row + 0.5) * side - 0.5
        pen.line((x - 0.25 * side, y, x + 0.25 * side, y), fill=ink, width=max(1, side // 8))


def _hatched(
    picture: Image.Image, values: NDArray[np.float32], scale: float, side: int
) -> Image.Image:
    """Darker lines across every negative number that is not nearly zero."""
    negative = np.kron(values < -NEARLY_ZERO * scale, np.ones((side, side), bool))
    rows, cols = np.indices(negative.shape)
    lines = negative & ((rows + cols) % HATCH == 0)
    shade = np.where(lines, 0.7, 1.0)[..., None]
    return Image.fromarray((np.asarray(picture) * shade).astype(np.uint8))


def captioned(picture: Image.Image, text: str) -> None:
    """A picture as wide as its place, over what it shows."""
    st.image(picture, caption=text, alt=text, width="stretch")


def calculation(name: str, *steps: str) -> None:
    """What a number is, in LaTeX, a step in each line: so a phone shows all of them."""
    rows = r" \\ &= ".join(steps)
    st.latex(rf"\begin{{aligned}}{name} &= {rows}\end{{aligned}}")


def attention_heat(session: Session, weights: Tensor) -> Heatmap:
    """A row of attention, (tokens,), as a map of the patches."""
    values = session.rec.patches(weights).numpy().astype(np.float32)
    return Heatmap(values, session.rec.box, "attention")


def in_rows(vector: Tensor, wide: int) -> NDArray[np.float32]:
    """A vector's numbers in rows of so many, the last one filled up with zeros."""
    rows: NDArray[np.float32] = F.pad(vector, (0, -len(vector) % wide)).reshape(-1, wide).numpy()
    return rows


def baseline(value: float) -> alt.Chart:
    """A dashed line across a chart, at a value to compare with."""
    return (
        alt.Chart(pd.DataFrame({"value": [value]})).mark_rule(strokeDash=[4, 4]).encode(y="value")
    )


def still_map(
    session: Session,
    heat: Heatmap,
    meaning: str,
    alt: str,
    key: str,
    marks: Sequence[list[int]] = (),
) -> None:
    """The photo under a map on which nothing can be chosen.

    Args:
        marks: patches to mark with a ring, as [row, column].
    """
    patch_map(
        session,
        heat,
        None,
        Look("inferno", 0.6, True),
        query=None,
        scale=None,
        marks=list(marks),
        crosses=[],
        meaning=meaning,
        alt=alt,
        key=key,
        on_query=None,
    )


def hidden_share(shares: Sequence[float], start: float, key: str) -> float:
    """How many of the patches are hidden."""
    percent = "{:.0%}".format
    found: float = st.select_slider(
        t("cnn.hidden"), shares, start, format_func=percent, key=key, bind=URL
    )
    return found


@st.cache_resource(show_spinner=False)
def for_all() -> Memo:
    """Results that are the same for every photo and every visitor."""
    return Memo()


def run_once(
    memory: Memo, name: str, asked: Hashable, compute: Callable[[], T], most: int = 1
) -> T:
    """What runs a model, computed in a turn and kept; of results of one name the last few.

    Args:
        memory: `session.own` for what is large, or hangs on what the visitor typed;
            `session.results` for what every visitor of a sample may take; or `for_all()`.
        name: of the result.
        asked: what it hangs on besides.
        compute: finds it.
        most: how many of this name are kept.
    """
    found: T | None = memory.find(asked, name)
    if found is None:
        with turn():
            found = memory.find(asked, name)  # another visitor may have been first
            if found is None:
                found = memory.keep(asked, compute(), name, most)
    return found


def draw_again() -> int:
    """A button that shuffles again; the number of the shuffle."""
    st.button(
        t("positions.shuffle.again"),
        icon=":material/shuffle:",
        key=keys.AGAIN,
        on_click=_draw_again,
    )
    return visit().shuffles


def _draw_again() -> None:
    visit().shuffles += 1


def result(rec: Recording, title: str) -> None:
    """A run of the model: its input under the class token's attention, and what it predicts."""
    under_attention(rec, title)
    prediction_bars(rec.predictions[:CLASSES])


def under_attention(rec: Recording, title: str) -> None:
    """The input of a run of the model, under the class token's attention."""
    heat = explain(rec, "attention")
    height, width = (side * count for side, count in zip(rec.patch_size, rec.grid, strict=True))
    picture = input_picture(rec.vit, rec.pixels)
    placed = replace(heat, box=(0.0, 0.0, float(width), float(height)), fingerprint=None)
    captioned(overlay(picture, placed, alpha=0.5), title)


def followed(session: Session) -> tuple[int, int]:
    """The layer and head that the lessons follow; at first a typical one."""
    rec = session.rec
    first_layer, first_head = typical_head(rec)
    layer = min(first_layer if (held := visit().layer) is None else held, rec.num_layers - 1)
    head = first_head if (held := visit().head) is None else held
    return layer, min(head, rec.num_heads(layer) - 1)


def followed_steps(session: Session) -> AttentionSteps:
    """What the followed head computes for the chosen patch."""
    return head_steps(session.rec, *followed(session), chosen_patch(session))


def choose_class(session: Session) -> int:
    """The class that the lessons follow, one of the most probable."""
    offered = {p.label: p.index for p in session.rec.predictions[:OFFERED_CLASSES]}
    first = next(iter(offered))
    name: str = choice(st.selectbox, t("ask.class"), list(offered), first, keys.LESSON_CLASS, label)
    return offered[name]


def follow_layer(session: Session) -> int:
    """A slider for the layer, kept from step to step."""
    layer, head = followed(session)
    last = session.rec.num_layers - 1
    layer = st.slider(t("lesson.layer"), 0, last, layer, key=keys.LESSON_LAYER, bind=URL)
    visit().layer, visit().head = layer, head
    return layer


def layer_and_head(session: Session) -> tuple[int, int]:
    """Sliders for the layer and the head, kept from step to step."""
    left, right = st.columns(2)
    with left:
        layer = follow_layer(session)
    _, head = followed(session)
    last = session.rec.num_heads(layer) - 1
    head = right.slider(t("lesson.head"), 0, last, head, key=keys.LESSON_HEAD, bind=URL)
    visit().head = head
    return layer, head
