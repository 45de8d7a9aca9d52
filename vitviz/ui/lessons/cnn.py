"""The same photo in a Vision Transformer and in a convolutional network."""

from __future__ import annotations

from collections.abc import Hashable

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from vitviz.heatmap import Box, Heatmap
from vitviz.inside.accuracies import CHANGED, CHANGED_PHOTOS, MEASURED, PUBLISHED
from vitviz.inside.convolution import (
    effective_field,
    effective_width,
    filter_answers,
    looking_layers,
    receptive_fields,
)
from vitviz.interventions.squares import (
    MARGIN,
    SIDE,
    cut_square,
    hide_pieces,
    predict_square,
    shuffle_pieces,
    wide_square,
)
from vitviz.methods.cnn_gradcam import cnn_gradcam
from vitviz.methods.explain import explain
from vitviz.models.transform import input_box, transformed
from vitviz.pictures.input import input_picture
from vitviz.pictures.overlay import mark_patch, overlay, shared_scale
from vitviz.recording.predictions import Prediction, predict
from vitviz.recording.recording import Recording
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    UPRIGHT,
    baseline,
    captioned,
    chart_height,
    chosen_patch,
    colours,
    draw_again,
    follow_layer,
    hidden_share,
    pick_patch,
    run_once,
)
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.parts.prediction_bars import prediction_bars
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.turns import turn
from vitviz.zoo.catalogue import COUNTERPART

NETWORKS = ("vit", "cnn")
ANSWERS = 3  # classes below a photo
FILTER_CELL = 40  # px a number of a filter
FIRST = 4  # filter: one of edges
FAINT = 1e-3  # the least scale of colours: some filters were never used, and are 0
PIECES = (112, 56, 28, 14)  # px
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)
MOVES = range(0, MARGIN + 1, 2)  # px
SHARE = 0.9  # of a gradient
CELL = 4  # px of an input that are one value of a gradient's map
KEPT = 8  # changed squares with a photo


def slide(session: Session) -> None:
    """One filter of the first convolution, and what it answers at every place."""
    pixels, _ = _cnn_input(session)
    weights, answers = filter_answers(model(COUNTERPART), pixels)
    last = len(weights) - 1
    number = st.slider(t("cnn.slide.filter"), 0, last, FIRST, key=keys.FILTER, bind=URL)
    photo, kernel, answer = st.columns([3, 1, 3], vertical_alignment="center")
    with photo:
        captioned(input_picture(model(COUNTERPART), pixels), t("cnn.slide.photo"))
    with kernel:
        captioned(_coloured(weights[number]), t("cnn.slide.weights"))
    with answer:
        found = answers[number]
        picture = colours(found.numpy(), max(float(found.abs().quantile(0.99)), FAINT), 2)
        captioned(picture, t("cnn.slide.answer"))
    left, right = st.columns(2)
    left.metric(t("cnn.slide.count", count=len(weights)), f"{weights.numel():,}")
    cut = session.rec.vit.anatomy.patch_projection
    if cut is not None:
        right.metric(t("cnn.slide.patches"), f"{cut.weight.numel():,}")


def both(session: Session) -> None:
    """Both networks' answers, and what speaks for one class in each."""
    answers = _answers(session)
    offered = dict.fromkeys(p.label for found in answers for p in found[:ANSWERS])
    first = answers[0][0].label
    name = choice(st.selectbox, t("ask.class"), list(offered), first, keys.LESSON_CLASS, label)
    maps = _maps(session, name)
    for column, key, heat, found in zip(st.columns(2), NETWORKS, maps, answers, strict=True):
        with column:
            picture = overlay(session.preview, heat.scaled(session.factor))
            captioned(picture, t(f"cnn.both.{key}", label=label(name)))
            prediction_bars(found[:ANSWERS])


def field(session: Session) -> None:
    """How wide a part of the input each layer of the network can depend on."""
    pixels, _ = _cnn_input(session)
    table = pd.DataFrame(
        {"number": number, "name": name, "width": width}
        for number, (name, width) in enumerate(_fields(), start=1)
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
    draw_chart(chart + baseline(side), height=chart_height(300))
    st.caption(t("cnn.field.caption", side=side))


def effective(session: Session) -> None:
    """What really moves one place, in both networks, beside the attention of the place."""
    rec, layer, patch = session.rec, follow_layer(session), chosen_patch(session)
    name, width = _fields()[round((layer + 1) / rec.num_layers * len(_fields())) - 1]
    pixels, box = _cnn_input(session)
    asked = layer, patch
    cnn = run_once(
        rec, "cnn field", asked, lambda: _cnn_field(pixels, name, _share(rec, patch, box)), 4
    )
    vit = run_once(rec, "vit field", asked, lambda: _vit_field(rec, layer, patch), 4)
    looks = explain(rec, "attention", patch, layer=layer)
    left, middle, right = st.columns(3)
    with left:
        pick_patch(session, looks, t("cnn.effective.weight"))
        st.caption(t("cnn.effective.attention", layer=layer))
    with middle:
        _gradient(session, vit, rec.box, t("cnn.effective.vit", layer=layer))
    with right:
        number = _names().index(name) + 1
        _gradient(session, cnn, box, t("cnn.effective.cnn", number=number, count=len(_names())))
    numbers = zip(
        st.columns(3),
        ("held_vit", "held_cnn", "theory"),
        (effective_width(vit, SHARE), effective_width(cnn, SHARE), width),
        strict=True,
    )
    for column, key, found in numbers:
        column.metric(t(f"cnn.effective.{key}", share=f"{SHARE:.0%}"), f"{found:.0f} px")
    sides = {"vit": rec.pixels.shape[-1], "cnn": pixels.shape[-1]}
    alike = f"{effective_width(torch.ones_like(vit), SHARE):.0f}"
    st.caption(t("cnn.effective.caption", share=f"{SHARE:.0%}", alike=alike, **sides))


def shuffle(session: Session) -> None:
    """The pieces of the photo in another order."""
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        piece = st.select_slider(t("cnn.piece"), PIECES, PIECES[-1], key=keys.PIECE, bind=URL)
    with right:
        seed = draw_again()
    square = shuffle_pieces(_square(session), piece, Generator().manual_seed(seed))
    _compare(session, ("shuffled", piece, seed), square)
    _measured("shuffled")


def hide(session: Session) -> None:
    """Some of the patches behind the mean colour."""
    share = hidden_share(SHARES, 0.5, keys.HIDDEN)
    square = hide_pieces(_square(session), PIECES[-1], share, Generator().manual_seed(0))
    _compare(session, ("hidden", share), square)
    _measured("hidden")


def shift(session: Session) -> None:
    """The probability of each network's first answer, on squares cut out further to the right."""
    shares = run_once(session.rec, "shifted", None, lambda: _shifted(session))
    table = pd.DataFrame(
        {"moved": moved, "network": t(f"cnn.{key}"), "probability": share}
        for key, found in zip(NETWORKS, shares, strict=True)
        for moved, share in zip(MOVES, found, strict=True)
    )
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("moved", title=t("cnn.shift.moved")),
            y=alt.Y(
                "probability", title=t("compare.probability"), scale=alt.Scale(domain=[0, 1])
            ).axis(format="%"),
            **lines_by("network", title=None, legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("network", title=t("cnn.network")),
                alt.Tooltip("moved", title=t("cnn.shift.moved")),
                alt.Tooltip("probability", title=t("compare.probability"), format=".1%"),
            ],
        ),
        height=chart_height(260),
    )
    names = [label(found[0].label) for found in _unchanged(session)]
    st.caption(t("cnn.shift.caption", vit=names[0], cnn=names[1]))
    _measured("shifted")


def accuracy(session: Session) -> None:
    """How often both are right: measured here, and what is published of others."""
    del session
    networks = [t(f"cnn.{key}") for key in NETWORKS]
    here = pd.DataFrame(
        {
            t("cnn.accuracy.photos"): f"{found.source} ({found.photos:,})",
            networks[0]: f"{found.vit:.1f} %",
            networks[1]: f"{found.cnn:.1f} %",
        }
        for found in MEASURED
    )
    published = pd.DataFrame(
        {
            t("cnn.network"): f"{found.model} · {t(f'cnn.{found.kind}')}",
            t("cnn.accuracy.data"): found.data,
            t("cnn.accuracy.right"): f"{found.top1:.1f} %",
            t("cnn.accuracy.source"): found.source,
        }
        for found in PUBLISHED
    )
    for key, table in (("here", here), ("published", published)):
        st.markdown(f"**{t(f'cnn.accuracy.{key}')}**")
        st.dataframe(table, hide_index=True)


def task(session: Session) -> None:
    """All three changes at once."""
    first, second, third = st.columns(3)
    whole = (SIDE, *PIECES)
    with first:
        piece = st.select_slider(t("cnn.piece"), whole, SIDE, key=keys.TASK_PIECE, bind=URL)
    with second:
        share = hidden_share(SHARES, 0.0, keys.TASK_HIDDEN)
    with third:
        moved = st.slider(t("cnn.shift.moved"), 0, MARGIN, 0, key=keys.TASK_MOVED, bind=URL)
    square = shuffle_pieces(_square(session, moved), piece, Generator().manual_seed(0))
    square = hide_pieces(square, PIECES[-1], share, Generator().manual_seed(0))
    _compare(session, ("task", piece, share, moved), square)


def _compare(session: Session, asked: Hashable, square: Tensor) -> None:
    """A changed square, both networks' answers, and whether each is the one that it gave before."""
    now = _seen(session, asked, square)
    picture, *columns = st.columns([2, 3, 3])
    with picture:
        pixels = (255 * square).round().byte().permute(1, 2, 0).numpy()
        captioned(Image.fromarray(pixels), t("cnn.square", side=SIDE))
    for column, key, before, found in zip(columns, NETWORKS, _unchanged(session), now, strict=True):
        with column:
            st.markdown(f"**{t(f'cnn.{key}')}**")
            prediction_bars(found[:ANSWERS])
            first = before[0]
            kept = "kept" if found[0].index == first.index else "lost"
            left = next(p.value for p in found if p.index == first.index)
            shares = {"before": f"{first.value:.1%}", "now": f"{left:.1%}"}
            st.caption(t(f"cnn.{kept}", label=label(first.label), **shares))


def _measured(change: str) -> None:
    """How often each network kept its answer under such a change."""
    found = CHANGED[change]
    values = {key: f"{getattr(found, key):.0f} %" for key in NETWORKS}
    st.caption(t(f"cnn.measured.{change}", photos=CHANGED_PHOTOS, **values))


def _square(session: Session, right: int = 0) -> Tensor:
    return cut_square(wide_square(session.preview), right)


def _seen(session: Session, asked: Hashable, square: Tensor) -> list[list[Prediction]]:
    """What both networks say of a square."""
    networks = session.rec.vit, model(COUNTERPART)
    return run_once(
        session.rec,
        "squares",
        asked,
        lambda: [predict_square(vit, square) for vit in networks],
        KEPT,
    )


def _unchanged(session: Session) -> list[list[Prediction]]:
    networks, square = (session.rec.vit, model(COUNTERPART)), _square(session)
    return run_once(
        session.rec, "square", None, lambda: [predict_square(vit, square) for vit in networks]
    )


def _shifted(session: Session) -> list[list[float]]:
    """How probable the first answer stays, for both networks and every move."""
    wide = wide_square(session.preview)
    found = []
    for vit in (session.rec.vit, model(COUNTERPART)):
        first = predict_square(vit, cut_square(wide))[0].index
        moved = (predict_square(vit, cut_square(wide, right)) for right in MOVES)
        found.append([next(p.value for p in answer if p.index == first) for answer in moved])
    return found


def _answers(session: Session) -> tuple[list[Prediction], list[Prediction]]:
    """What both say of the photo, each through its own transform."""

    def look() -> list[Prediction]:
        cnn, photo = model(COUNTERPART), opened(session.photo)
        with turn():
            return predict(cnn, photo)

    return session.rec.predictions, session.rec.derived.get(None, look, "cnn answers", most=1)


def _maps(session: Session, name: str) -> tuple[Heatmap, Heatmap]:
    """What speaks for a class: relevance in the ViT, Grad-CAM in the CNN."""

    def look() -> tuple[Heatmap, Heatmap]:
        cnn, photo = model(COUNTERPART), opened(session.photo)
        with turn():
            return explain(session.rec, "relevance", target=name), cnn_gradcam(cnn, photo, name)

    found: tuple[Heatmap, Heatmap] = session.rec.derived.get(name, look, "cnn maps", most=ANSWERS)
    return found


def _cnn_input(session: Session) -> tuple[Tensor, Box]:
    """The photo as the CNN is given it, and the part of the photo that this is."""

    def look() -> tuple[Tensor, Box]:
        cnn, photo = model(COUNTERPART), opened(session.photo)
        return transformed(cnn.transform, photo), input_box(cnn.transform, photo.size)

    found: tuple[Tensor, Box] = session.rec.derived.get(None, look, "cnn input", most=1)
    return found


def _fields() -> list[tuple[str, int]]:
    return receptive_fields(looking_layers(model(COUNTERPART).module))


def _names() -> list[str]:
    return [name for name, _ in _fields()]


def _share(rec: Recording, patch: tuple[int, int], box: Box) -> tuple[float, float]:
    """Where a patch's centre lies in another part of the photo: (down, across), from 0 to 1."""
    left, top, right, bottom = rec.box
    x = left + (right - left) * (patch[1] + 0.5) / rec.grid[1]
    y = top + (bottom - top) * (patch[0] + 0.5) / rec.grid[0]
    down, across = (y - box[1]) / (box[3] - box[1]), (x - box[0]) / (box[2] - box[0])
    return min(max(down, 0.0), 0.999), min(max(across, 0.0), 0.999)


def _cnn_field(pixels: Tensor, name: str, share: tuple[float, float]) -> Tensor:
    def place(maps: Tensor) -> Tensor:
        row, col = (int(s * n) for s, n in zip(share, maps.shape[2:], strict=True))
        return maps[0, :, row, col]

    return effective_field(model(COUNTERPART), pixels, name, place)


def _vit_field(rec: Recording, layer: int, patch: tuple[int, int]) -> Tensor:
    token = rec.num_prefix_tokens + patch[0] * rec.grid[1] + patch[1]
    block = rec.vit.anatomy.blocks[layer]
    return effective_field(rec.vit, rec.pixels, block, lambda tokens: tokens[0, token])


def _gradient(session: Session, found: Tensor, box: Box, text: str) -> None:
    """A place's gradient over the photo, with the place outlined."""
    heat = Heatmap(F.avg_pool2d(found[None], CELL)[0].numpy(), box, "gradient")
    shown = overlay(session.preview, heat.scaled(session.factor), scale=shared_scale([heat]))
    patches = Heatmap(np.zeros(session.rec.grid, np.float32), session.rec.box, "none")
    place = mark_patch(shown, patches.scaled(session.factor), chosen_patch(session))
    captioned(place, text)


def _coloured(weights: Tensor) -> Image.Image:
    """A filter's numbers as colours, (3, kernel, kernel) → picture: grey is zero."""
    shown = 127.5 * (1 + weights / weights.abs().max())
    picture = Image.fromarray(shown.permute(1, 2, 0).round().byte().numpy())
    size = FILTER_CELL * weights.shape[-1]
    return picture.resize((size, size), Image.Resampling.NEAREST)


LESSON = Lesson(
    "cnn",
    (
        Step("slide", slide, formula=r"y_{r,c} = \sum_{i,j} w_{i,j}\, p_{r+i,\,c+j}"),
        Step("both", both, sample="cat-and-coffee"),
        Step("field", field, guess=True, formula=r"r = 1 + \sum_l (k_l - 1) \prod_{m<l} s_m"),
        Step("effective", effective),
        Step("shuffle", shuffle, guess=True),
        Step("hide", hide),
        Step("shift", shift, guess=True),
        Step("accuracy", accuracy),
    ),
    task,
    {
        "Raghu et al. 2021: Do Vision Transformers see like CNNs?": "https://arxiv.org/abs/2108.08810",
        "Luo et al. 2016: The effective receptive field": "https://arxiv.org/abs/1701.04128",
        "Naseer et al. 2021: Intriguing properties of Vision Transformers": "https://arxiv.org/abs/2105.10497",
        "Zhang 2019: Making convolutional networks shift-invariant again": "https://arxiv.org/abs/1904.11486",
        "Liu et al. 2022: A ConvNet for the 2020s": "https://arxiv.org/abs/2201.03545",
        "Touvron et al. 2020: Training data-efficient image transformers": "https://arxiv.org/abs/2012.12877",
        "Kolesnikov et al. 2019: Big Transfer": "https://arxiv.org/abs/1912.11370",
    },
)
