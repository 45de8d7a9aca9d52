"""How much of the input one place can depend on, and how much it does."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.heatmap import Box, Heatmap
from vitviz.inside.convolution import (
    effective_field,
    effective_width,
    looking_layers,
    receptive_fields,
)
from vitviz.methods.explain import explain
from vitviz.pictures.overlay import mark_patch, overlay, shared_scale
from vitviz.recording.recording import Recording
from vitviz.ui.course.widgets import (
    UPRIGHT,
    baseline,
    captioned,
    chosen_patch,
    follow_layer,
    pick_patch,
    run_once,
)
from vitviz.ui.lessons.cnn.counterpart import cnn_input
from vitviz.ui.parts.chart import draw_chart
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session
from vitviz.zoo.catalogue import COUNTERPART

SHARE = 0.9  # of a gradient
CELL = 4  # px of an input that are one value of a gradient's map


def field(session: Session) -> None:
    """How wide a part of the input each layer of the network can depend on."""
    pixels, _ = cnn_input(session)
    table = pd.DataFrame(
        {"number": number, "name": name, "width": width}
        for number, (name, width) in enumerate(_receptive_fields(), start=1)
    )
    lines = alt.Chart(table).mark_line(point=True)
    side = pixels.shape[-1]
    chart = lines.encode(
        x=alt.X("number:O", title=t("cnn.field.layer"), axis=UPRIGHT),
        y=alt.Y("width", title=t("cnn.field.width")),
        tooltip=[
            alt.Tooltip("name", title=t("lesson.layer")),
            alt.Tooltip("width", title=t("cnn.field.width")),
        ],
    )
    draw_chart(chart + baseline(side), height=380)
    st.caption(t("cnn.field.caption", side=side))


def effective(session: Session) -> None:
    """What really moves one place, in both networks, beside the attention of the place."""
    rec, layer, patch = session.rec, follow_layer(session), chosen_patch(session)
    fields = _receptive_fields()
    number = round((layer + 1) / rec.num_layers * len(fields))  # as deep as the ViT's layer
    name, theory = fields[number - 1]
    pixels, box = cnn_input(session)
    place = _relative_place(rec, patch, box)
    asked = layer, patch
    cnn = run_once(session.results, "cnn field", asked, lambda: _cnn_field(pixels, name, place), 4)
    vit = run_once(session.results, "vit field", asked, lambda: _vit_field(rec, layer, patch), 4)
    looks = explain(rec, "attention", patch, layer=layer)
    left, middle, right = st.columns(3)
    with left:
        pick_patch(session, looks)
        st.caption(t("cnn.effective.attention", layer=layer))
    with middle:
        _gradient_map(session, vit, rec.box, t("cnn.effective.vit", layer=layer))
    with right:
        text = t("cnn.effective.cnn", number=number, count=len(fields))
        _gradient_map(session, cnn, box, text)
    _widths(vit, cnn, theory)


def _widths(vit: Tensor, cnn: Tensor, theory: int) -> None:
    """How wide both gradients are, each (height, width), beside the width that theory allows."""
    numbers = zip(
        st.columns(3),
        ("held_vit", "held_cnn", "theory"),
        (effective_width(vit, SHARE), effective_width(cnn, SHARE), theory),
        strict=True,
    )
    for column, key, found in numbers:
        column.metric(t(f"cnn.effective.{key}", share=f"{SHARE:.0%}"), f"{found:.0f} px")
    sides = {"vit": vit.shape[-1], "cnn": cnn.shape[-1]}
    alike = f"{effective_width(torch.ones_like(vit), SHARE):.0f}"
    st.caption(t("cnn.effective.caption", share=f"{SHARE:.0%}", alike=alike, **sides))


def _receptive_fields() -> list[tuple[str, int]]:
    """The name and receptive field of every layer of the CNN, in pixels."""
    return receptive_fields(looking_layers(model(COUNTERPART).module))


def _relative_place(rec: Recording, patch: tuple[int, int], box: Box) -> tuple[float, float]:
    """Where a patch's centre lies in another part of the photo: (down, across), from 0 to 1."""
    left, top, right, bottom = rec.box
    x = left + (right - left) * (patch[1] + 0.5) / rec.grid[1]
    y = top + (bottom - top) * (patch[0] + 0.5) / rec.grid[0]
    down, across = (y - box[1]) / (box[3] - box[1]), (x - box[0]) / (box[2] - box[0])
    return min(max(down, 0.0), 0.999), min(max(across, 0.0), 0.999)


def _cnn_field(pixels: Tensor, name: str, place: tuple[float, float]) -> Tensor:
    def chosen(maps: Tensor) -> Tensor:
        row, col = (int(share * n) for share, n in zip(place, maps.shape[2:], strict=True))
        return maps[0, :, row, col]

    return effective_field(model(COUNTERPART), pixels, name, chosen)


def _vit_field(rec: Recording, layer: int, patch: tuple[int, int]) -> Tensor:
    token = rec.token(patch)
    block = rec.vit.anatomy.blocks[layer]
    return effective_field(rec.vit, rec.pixels, block, lambda tokens: tokens[0, token])


def _gradient_map(session: Session, found: Tensor, box: Box, text: str) -> None:
    """A place's gradient over the photo, with the place outlined."""
    heat = Heatmap(F.avg_pool2d(found[None], CELL)[0].numpy(), box, "gradient")
    shown = overlay(session.preview, heat.scaled(session.factor), scale=shared_scale([heat]))
    patches = Heatmap(np.zeros(session.rec.grid, np.float32), session.rec.box, "none")
    captioned(mark_patch(shown, patches.scaled(session.factor), chosen_patch(session)), text)
