"""Where a model's knowledge comes from, and how its training is kept steady."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch
from PIL import Image
from torch import Tensor

from vitviz.inside.cost import attention_width, block_operations, block_weights
from vitviz.interventions.masking import mask_patches
from vitviz.interventions.squares import record_square
from vitviz.methods.explain import explain
from vitviz.pictures.input import input_picture
from vitviz.training.initialisation import KINDS, activation_sizes
from vitviz.training.pretraining import (
    DIRECTIONS,
    Distilled,
    global_and_local,
    hidden_patches,
    label_gradient,
    masked_loss,
    nearest_visible,
    patch_targets,
    self_distillation,
)
from vitviz.training.regularisation import drop_attention, weights_left, without_each_block
from vitviz.training.trained_part import features
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.gallery import gallery_photos, gallery_titles
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.widgets import (
    UPRIGHT,
    attention_heat,
    baseline,
    captioned,
    chart_height,
    choose_class,
    chosen_patch,
    draw_again,
    followed,
    hidden_share,
    pick_patch,
    result,
    run_once,
)
from vitviz.ui.parts.browser import URL
from vitviz.ui.parts.chart import draw_chart, lines_by
from vitviz.ui.visit import keys
from vitviz.ui.visit.analyse import model
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.turns import turn
from vitviz.zoo.load import bundled_models

SHOWN = 5  # classes
MOST = 100  # steps of the small DINO
VIEWS, VIEW = 0, 110  # which views are drawn, and the width of one in px
SHARES = (0.25, 0.5, 0.75, 0.9)
SIDES = (224, 336, 448)
LAYERS, WIDTH = 12, 384
WAYS = ("supervised", "dino", "mae", "clip")
ASPECTS = ("predicts", "needs", "loss", "attention")
REGULARISERS = ("path", "attention", "decay")
DECAYS, RATE, STEPS = (0.0, 0.01, 0.05, 0.1, 0.3), 1e-3, 100_000
PULL = r"L = -\ln p_y \qquad \dfrac{\partial L}{\partial z_i} = p_i - y_i"
CASES = ("few", "alike", "many", "other")


def supervised(session: Session) -> None:
    """The loss of a label, and how it pulls at each logit."""
    rec = session.rec
    index = choose_class(session)
    pull = label_gradient(rec.logits, index)
    best = [p for p in rec.predictions[: SHOWN + 1] if p.index != index][: SHOWN - 1]
    shown = [next(p for p in rec.predictions if p.index == index), *best]
    photo, numbers = st.columns([2, 3])
    with photo:
        pick_patch(session, explain(rec, "attention"), t("pretraining.supervised.attention"))
    with numbers:
        probability = shown[0].value
        st.metric(t("pretraining.loss"), f"{-math.log(max(probability, 1e-30)):.4f}")
        _bars([label(p.label) for p in shown], pull[[p.index for p in shown]], "supervised.pull")


def dino(session: Session) -> None:
    """A small DINO on the gallery: what keeps its answers from becoming all the same."""
    steps, centring, sharpening = st.columns([2, 1, 1], vertical_alignment="bottom")
    with steps:
        step = st.slider(t("captions.learn.steps"), 0, MOST, MOST, key=keys.DINO_STEPS, bind=URL)
    with centring:
        centred = st.toggle(t("pretraining.dino.centred"), True, key=keys.CENTRED, bind=URL)
    with sharpening:
        sharp = st.toggle(t("pretraining.dino.sharp"), True, key=keys.SHARP, bind=URL)
    large, small = _gallery(bundled_models()[0])
    trained = run_once(
        session.rec,
        "dino",
        (centred, sharp),
        lambda: self_distillation(large, small, centred=centred, sharp=sharp, steps=MOST),
        4,
    )
    found = trained[step]
    views, chart = st.columns([1, 4])
    with views:
        for key, view in zip(("teacher", "student"), _views(session), strict=True):
            text = t(f"pretraining.dino.{key}")
            st.image(view.resize((VIEW, VIEW)), caption=text, alt=text)
    with chart:
        _answers(found)
    numbers = st.columns(3)
    numbers[0].metric(t("pretraining.loss"), f"{found.loss:.2f}")
    most = f"{math.log(DIRECTIONS):.2f}"
    numbers[1].metric(t("pretraining.dino.entropy", most=most), f"{found.entropy:.2f}")
    numbers[2].metric(t("pretraining.dino.used", photos=len(large)), str(found.used))


def mae(session: Session) -> None:
    """What the encoder is given when most patches are hidden, and what two guesses cost."""
    rec = session.rec
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        share = hidden_share(SHARES, 0.75, keys.MASKED)
    with right:
        seed = draw_again()
    hidden, targets = hidden_patches(rec.grid, share, seed), patch_targets(rec)
    grey = torch.zeros(len(rec.pixels), 1, 1)
    given = mask_patches(rec, hidden[None], grey)[0]
    photo, numbers = st.columns(2)
    with photo:
        text = t("pretraining.mae.given", count=int((~hidden).sum()))
        captioned(input_picture(rec.vit, given), text)
    near = targets.flatten(0, 1)[nearest_visible(hidden)]
    n = rec.num_prefix_tokens + int((~hidden).sum())
    width, weights = attention_width(rec), block_weights(rec)
    parts, all_of_it = (
        sum(vars(block_operations(tokens, width, weights)).values())
        for tokens in (n, rec.num_tokens)
    )
    with numbers:
        flat = masked_loss(targets, torch.zeros(1), hidden)
        st.metric(t("pretraining.mae.flat"), f"{flat:.2f}")
        st.metric(t("pretraining.mae.near"), f"{masked_loss(targets, near, hidden):.2f}")
        st.metric(t("pretraining.mae.cost", tokens=n), f"{parts / all_of_it:.0%}")


def four(session: Session) -> None:
    """Four ways of pretraining beside each other."""
    del session
    table = pd.DataFrame(
        {t("pretraining.four.way"): t(f"pretraining.four.{way}.name")}
        | {
            t(f"pretraining.four.{aspect}"): t(f"pretraining.four.{way}.{aspect}")
            for aspect in ASPECTS
        }
        for way in WAYS
    )
    st.table(table.set_index(t("pretraining.four.way")))


def resolution(session: Session) -> None:
    """The same photo as a larger input."""
    side = st.select_slider(t("pretraining.resolution.side"), SIDES, 448, key=keys.LARGER, bind=URL)
    rec, preview = session.rec, session.preview
    larger = run_once(rec, "larger", side, lambda: record_square(rec.vit, preview, side), 2)
    for column, found in zip(st.columns(2), (rec, larger), strict=True):
        with column:
            at = found.pixels.shape[-1]
            result(found, t("pretraining.resolution.caption", side=at, tokens=found.num_tokens))


def initial(session: Session) -> None:
    """How large activations become through the layers, before any training."""
    del session
    residual = st.toggle(t("pretraining.initial.residual"), False, key=keys.RESIDUAL, bind=URL)
    table = pd.DataFrame(
        {"layer": layer, "kind": t(f"pretraining.initial.{kind}"), "size": size}
        for kind in KINDS
        for layer, size in enumerate(activation_sizes(kind, LAYERS, WIDTH, residual=residual))
    )
    lines = alt.Chart(table).mark_line(point=True)
    draw_chart(
        lines.encode(
            x=alt.X("layer:O", title=t("pretraining.initial.layer"), axis=UPRIGHT),
            y=alt.Y(
                "size",
                title=t("pretraining.initial.size"),
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~g", tickCount=6),
            ),
            **lines_by("kind", title=None, legend=alt.Legend(orient="top", columns=2)),
            tooltip=[
                alt.Tooltip("kind", title=t("pretraining.initial.kind")),
                alt.Tooltip("layer", title=t("pretraining.initial.layer")),
                alt.Tooltip("size", title=t("pretraining.initial.size"), format=".3g"),
            ],
        ),
        height=chart_height(280),
    )
    st.caption(t("pretraining.initial.caption", width=WIDTH))


def regularise(session: Session) -> None:
    """Drop path, attention dropout and weight decay, on this photo's numbers."""
    chosen: str = choice(
        st.segmented_control,
        t("pretraining.regularise.which"),
        REGULARISERS,
        REGULARISERS[0],
        keys.REGULARISER,
        lambda name: t(f"pretraining.regularise.{name}"),
        required=True,
    )
    {"path": _drop_path, "attention": _attention_dropout, "decay": _decay}[chosen](session)


def freeze(session: Session) -> None:
    """What to train, by how many photos there are and how new they are."""
    del session
    table = pd.DataFrame(
        {
            t("pretraining.freeze.when"): t(f"pretraining.freeze.{case}.when"),
            t("pretraining.freeze.what"): t(f"pretraining.freeze.{case}.what"),
            t("pretraining.freeze.why"): t(f"pretraining.freeze.{case}.why"),
        }
        for case in CASES
    )
    st.table(table.set_index(t("pretraining.freeze.when")))


def task(session: Session) -> None:
    """The block without which this photo's answer suffers most."""
    _drop_path(session)
    shares, best = _without_blocks(session), session.rec.predictions[0]
    worst = int(shares.argmin())
    kept = int((_blockless(session).argmax(dim=-1) == best.index).sum())
    st.markdown(
        t(
            "pretraining.task",
            label=label(best.label),
            layer=worst,
            left=f"{shares[worst]:.1%}",
            kept=kept,
            blocks=len(shares),
        )
    )


def _drop_path(session: Session) -> None:
    rec = session.rec
    best = rec.predictions[0]
    shares = _without_blocks(session)
    table = pd.DataFrame({"layer": range(len(shares)), "probability": shares.tolist()})
    bars = alt.Chart(table).mark_bar()
    chart = bars.encode(
        x=alt.X("layer:O", title=t("pretraining.regularise.without"), axis=UPRIGHT),
        y=alt.Y("probability", title=t("compare.probability"), scale=alt.Scale(domain=[0, 1])).axis(
            format="%"
        ),
        tooltip=[
            alt.Tooltip("layer", title=t("pretraining.regularise.without")),
            alt.Tooltip("probability", title=t("compare.probability"), format=".1%"),
        ],
    )
    draw_chart(chart + baseline(best.value), height=chart_height(240))
    st.caption(t("pretraining.regularise.path_caption", label=label(best.label)))


def _blockless(session: Session) -> Tensor:
    rec = session.rec
    return run_once(rec, "without blocks", None, lambda: without_each_block(rec))


def _without_blocks(session: Session) -> Tensor:
    """How probable the first answer is without each block, (blocks,)."""
    return _blockless(session).softmax(dim=-1)[:, session.rec.predictions[0].index]


def _attention_dropout(session: Session) -> None:
    rec = session.rec
    layer, head = followed(session)
    probability = st.select_slider(
        t("pretraining.regularise.probability"),
        (0.0, 0.1, 0.3, 0.5),
        0.1,
        key=keys.ATTENTION_DROPOUT,
        bind=URL,
    )
    row = rec.attention_row(layer, chosen_patch(session))[head]
    left = drop_attention(row, probability, visit().shuffles)
    photo, numbers = st.columns(2)
    with photo:
        pick_patch(session, attention_heat(session, left), t("pretraining.regularise.weight"))
    with numbers:
        draw_again()
        dropped = int(((left == 0) & (row > 0)).sum())
        st.metric(t("pretraining.regularise.dropped"), f"{dropped} / {len(row)}")
        st.metric(t("pretraining.regularise.sum"), f"{left.sum():.3f}")
    st.caption(t("pretraining.regularise.attention_caption", layer=layer, head=head))


def _decay(session: Session) -> None:
    del session
    decay = st.select_slider(
        t("pretraining.regularise.lambda"), DECAYS, 0.05, key=keys.DECAY, bind=URL
    )
    steps = np.linspace(0, STEPS, 41).astype(int)
    table = pd.DataFrame(
        {"step": steps, "left": [weights_left(RATE, decay, int(step)) for step in steps]}
    )
    draw_chart(
        alt.Chart(table)
        .mark_line()
        .encode(
            x=alt.X("step", title=t("training.step")),
            y=alt.Y(
                "left", title=t("pretraining.regularise.left"), scale=alt.Scale(domain=[0, 1])
            ).axis(format="%"),
            tooltip=[
                alt.Tooltip("step", title=t("training.step"), format=","),
                alt.Tooltip("left", title=t("pretraining.regularise.left"), format=".1%"),
            ],
        ),
        height=chart_height(220),
    )
    share = f"{weights_left(RATE, decay, STEPS):.2%}"
    st.caption(
        t("pretraining.regularise.decay_caption", rate=RATE, steps=f"{STEPS:,}", share=share)
    )


def _views(session: Session) -> tuple[Image.Image, Image.Image]:
    return global_and_local(session.preview, VIEWS)


@st.cache_data(show_spinner=False)
def _gallery(model_name: str) -> tuple[Tensor, Tensor]:
    """Features of a large and a small view of each sample, (photos, width)."""
    vit = model(model_name)
    views = (global_and_local(photo, VIEWS) for photo in gallery_photos())
    large, small = zip(*views, strict=True)

    def seen(views: tuple[Image.Image, ...]) -> Tensor:
        with turn():
            return features(vit, torch.stack([vit.transform(view) for view in views]))

    return seen(large), seen(small)


def _answers(found: Distilled) -> None:
    """The teacher's probabilities: a row for each photo, a column for each direction."""
    table = pd.DataFrame(
        {"photo": title, "direction": number, "probability": share}
        for title, row in zip(gallery_titles(), found.teacher.tolist(), strict=True)
        for number, share in enumerate(row)
    )
    cells = alt.Chart(table).mark_rect()
    draw_chart(
        cells.encode(
            x=alt.X("direction:O", title=t("pretraining.dino.direction"), axis=UPRIGHT),
            y=alt.Y("photo:N", title=t("pretraining.dino.photo"), sort=None),
            color=alt.Color(
                "probability",
                title=t("compare.probability"),
                scale=alt.Scale(domain=[0, 1], scheme="inferno"),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("photo", title=t("pretraining.dino.photo")),
                alt.Tooltip("direction", title=t("pretraining.dino.direction")),
                alt.Tooltip("probability", title=t("compare.probability"), format=".1%"),
            ],
        ),
        height=chart_height(260),
    )


def _bars(names: list[str], values: Tensor, title: str) -> None:
    table = pd.DataFrame({"name": names, "value": values.tolist()})
    bars = alt.Chart(table).mark_bar()
    draw_chart(
        bars.encode(
            x=alt.X("value", title=t(f"pretraining.{title}")),
            y=alt.Y("name", title=None, sort=None),
            tooltip=[
                alt.Tooltip("name", title=t("ask.class")),
                alt.Tooltip("value", title=t(f"pretraining.{title}"), format=".4f"),
            ],
        ),
        height=chart_height(220),
    )


LESSON = Lesson(
    "pretraining",
    (
        Step(
            "supervised",
            supervised,
            formula=PULL,
        ),
        Step(
            "dino",
            dino,
            guess=True,
            formula=r"L = -\sum_i p^{\mathrm{teacher}}_i \ln p^{\mathrm{student}}_i",
        ),
        Step("mae", mae, guess=True),
        Step("four", four, guess=True),
        Step("resolution", resolution),
        Step("initial", initial, formula=r"\sigma^2_{l+1} = \dfrac{n\,\sigma_W^2}{2}\,\sigma^2_l"),
        Step("regularise", regularise),
        Step("freeze", freeze),
    ),
    task,
    {
        "Caron et al. 2021: Emerging properties in self-supervised Vision Transformers (DINO)": "https://arxiv.org/abs/2104.14294",
        "He et al. 2021: Masked autoencoders are scalable vision learners": "https://arxiv.org/abs/2111.06377",
        "Radford et al. 2021: Learning from natural language supervision (CLIP)": "https://arxiv.org/abs/2103.00020",
        "Xie et al. 2022: Revealing the dark secrets of masked image modeling": "https://arxiv.org/abs/2205.13543",
        "He et al. 2015: Delving deep into rectifiers": "https://arxiv.org/abs/1502.01852",
        "Kumar et al. 2022: Fine-tuning can distort pretrained features": "https://arxiv.org/abs/2202.10054",
    },
)
