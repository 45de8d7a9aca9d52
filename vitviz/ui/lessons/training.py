"""Lesson 7: a pretrained model learns new classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch

from vitviz.heatmap import Heatmap
from vitviz.methods.explain import explain
from vitviz.pictures.overlay import overlay
from vitviz.recording.predictions import Prediction
from vitviz.recording.record import record
from vitviz.training.augmentation import augmentation
from vitviz.training.plan import Plan, learning_rates
from vitviz.training.trained_part import SeededDropout, features, trainable_parameters
from vitviz.training.training import Moment, start
from vitviz.ui.controls.choice import choice
from vitviz.ui.course.album import (
    class_title,
    edit_album,
    is_enough,
    list_album,
    take_samples,
)
from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.training_run import (
    HEAD_PLAN,
    largest_change,
    train_block,
    train_head,
    trained_again,
)
from vitviz.ui.course.widgets import UPRIGHT, run_once
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.album import MOST_CLASSES, Run
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.markdown import as_code
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.turns import turn

VIEWS, VIEW = 6, 170  # random views, and the width of one in px


def freezing(session: Session) -> None:
    """How much of the model is trained."""
    vit = session.rec.vit
    last = session.rec.num_layers
    classes = st.slider(t("training.classes"), 2, MOST_CLASSES, 3, key=keys.CLASSES, bind=URL)
    blocks = st.slider(t("training.freezing.blocks"), 0, last, 0, key=keys.BLOCKS, bind=URL)
    counts = [trainable_parameters(vit, classes, k) for k in range(last + 1)]
    every = trainable_parameters(vit, classes, None)
    first, second = st.columns(2)
    first.metric(t("training.freezing.trained"), f"{counts[blocks]:,}")
    second.metric(t("training.freezing.share"), f"{counts[blocks] / every:.3%}")
    table = pd.DataFrame({"blocks": range(last + 1), "millions": np.array(counts) / 1e6})
    st.altair_chart(
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("blocks:O", title=t("training.freezing.blocks"), axis=UPRIGHT),
            y=alt.Y("millions", title=t("training.freezing.millions")),
            opacity=alt.condition(alt.datum.blocks == blocks, alt.value(1), alt.value(0.4)),
            tooltip=[
                alt.Tooltip("blocks", title=t("training.freezing.blocks")),
                alt.Tooltip("millions", title=t("training.freezing.millions"), format=".3f"),
            ],
        ),
        height=270,
    )
    st.caption(t("training.freezing.all", every=f"{every:,}"))


def augment(session: Session) -> None:
    """Random views of this photo."""
    kinds = ("crop", "flip", "colour")
    options, again = st.columns([3, 2], vertical_alignment="bottom")
    chosen: list[str] = choice(
        options.segmented_control,
        t("training.augment.kinds"),
        kinds,
        list(kinds),
        keys.VIEW_KINDS,
        lambda kind: t(f"training.augment.{kind}"),
        selection_mode="multi",
    )
    again.button(
        t("training.augment.again"),
        icon=":material/casino:",
        key=keys.AGAIN,
        on_click=_draw_again,
    )
    view = augmentation(session.rec.pixels.shape[-2:], **{k: k in chosen for k in kinds})
    pictures = session.rec.derived.get(
        (*chosen, visit().views),
        lambda: [view(session.small) for _ in range(VIEWS)],
        "views",
        most=1,
    )
    with st.container(horizontal=True, gap="small"):
        for number, picture in enumerate(pictures):
            st.image(picture, alt=t("training.augment.alt", number=number + 1), width=VIEW)


def _draw_again() -> None:
    visit().views += 1


def warm_up(session: Session) -> None:
    """The learning rate of every step."""
    del session
    steps, warmup = st.columns(2)
    count = steps.slider(t("training.steps"), 10, 100, HEAD_PLAN.steps, 5, key=keys.STEPS, bind=URL)
    rising = warmup.slider(t("training.warm_up.rising"), 0, 9, 5, key=keys.WARM_UP, bind=URL)
    rates = learning_rates(HEAD_PLAN.rate, count, rising)
    table = pd.DataFrame({"step": range(1, count + 1), "rate": rates})
    st.altair_chart(
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("step", title=t("training.step")),
            y=alt.Y("rate", title=t("training.warm_up.rate"), axis=alt.Axis(format="~g")),
            tooltip=[
                alt.Tooltip("step", title=t("training.step")),
                alt.Tooltip("rate", title=t("training.warm_up.rate"), format=".6f"),
            ],
        ),
        height=300,
    )
    first, second = st.columns(2)
    first.metric(t("training.warm_up.first"), f"{rates[0]:.6f}")
    second.metric(t("training.warm_up.last"), f"{rates[-1]:.6f}")


def beginning(session: Session) -> None:
    """A new head's first probabilities for this photo, and what dropout changes."""
    classes = st.slider(t("training.classes"), 2, MOST_CLASSES, 3, key=keys.CLASSES, bind=URL)
    kind: str = choice(
        st.segmented_control,
        t("training.beginning.head"),
        ("zero", "random"),
        "zero",
        keys.HEAD_KIND,
        lambda kind: t(f"training.beginning.{kind}"),
        required=True,
    )
    dropout = st.slider(
        t("training.beginning.dropout"), 0.0, 0.9, 0.0, 0.1, key=keys.DROPOUT, bind=URL
    )
    rec = session.rec
    given = run_once(rec, "given to a head", None, lambda: features(rec.vit, rec.pixels[None]))
    found = SeededDropout(dropout, 0).train()(given)
    labels = [t("training.run.unnamed", number=number + 1) for number in range(classes)]
    plan = Plan(zero_head=kind == "zero")
    _, training = start(rec.vit, labels, found, torch.zeros(1, dtype=torch.long), plan)
    with torch.no_grad():
        probabilities = training.part(found)[0].softmax(dim=-1)
    first, second = st.columns(2)
    first.metric(t("training.beginning.loss"), f"{-math.log(probabilities[0]):.4f}")
    second.metric(t("training.beginning.off"), f"{int((found == 0).sum())} / {found.numel()}")
    _bars(labels, probabilities.tolist())


def run(session: Session) -> None:
    """The visitor's classes and photos, and the training of a head on them."""
    album = visit().album
    with st.container(horizontal=True):
        with st.popover(t("training.run.own"), icon=":material/add_photo_alternate:"):
            edit_album(album)
        st.button(
            t("training.run.take"),
            icon=":material/photo_library:",
            key=keys.TAKE_SAMPLES,
            on_click=take_samples,
        )
        pressed = st.button(
            t("training.run.train"),
            icon=":material/model_training:",
            type="primary",
            key=keys.TRAIN,
        )
    list_album(album)
    chart = st.empty()
    if pressed and is_enough(album):
        visit().trained = train_head(session, album, _drawn_into(chart))
    if found := visit().trained:
        _show_run(found, chart)


def after(session: Session) -> None:
    """This photo before and after: predictions, attention and relevance."""
    found = _finished(session)
    if found is None:
        return
    predictions, maps, change = session.rec.derived.get(
        found, lambda: _before_and_after(session, found), "after", most=1
    )
    st.metric(t("training.after.change"), f"{change:g}")
    old, new = session.rec.predictions[0], predictions[0]
    names = label(old.label), class_title(found.names[new.index])
    for column, when, name, (attention, relevance), best in zip(
        st.columns(2), ("before", "after_word"), names, maps, (old, new), strict=True
    ):
        with column:
            title = f"{name} · {best.value:.1%}"
            st.markdown(f"**{t(f'training.{when}')}** · {as_code(title)}")
            _map(session, attention, t("training.after.attention"))
            _map(session, relevance, t("training.after.relevance"))


def _before_and_after(
    session: Session, found: Run
) -> tuple[list[Prediction], list[list[Heatmap]], float]:
    """The trained model's predictions, the maps of both models, and how much attention changed."""
    with st.spinner(t("photo.looking")):
        photo = opened(session.photo)
        with turn():
            rec = record(found.vit, photo)
            maps = [[explain(r, m) for m in ("attention", "relevance")] for r in (session.rec, rec)]
    return rec.predictions, maps, largest_change(session.rec, rec)


def entropy(session: Session) -> None:
    """The last block trained with the attention entropy in the loss."""
    found = _finished(session)
    if found is None:
        return
    slider, button = st.columns([3, 1], vertical_alignment="bottom")
    weight = slider.slider("λ", 0.0, 3.0, 2.0, 0.5, key=keys.ENTROPY_WEIGHT, bind=URL)
    pressed = button.button(
        t("training.run.train"), icon=":material/model_training:", key=keys.TRAIN_BLOCK
    )
    if pressed and is_enough(visit().album):
        session.rec.derived.keep(None, train_block(session, weight), "narrowed", most=1)
    before = explain(session.rec, "attention")
    narrowed: tuple[float, list[Moment], Heatmap, float] | None
    narrowed = session.rec.derived.last("narrowed")
    if narrowed is None:
        _map(session, before, t("training.before"))
        return
    weight, moments, heat, change = narrowed
    if moments:
        first, second = st.columns(2)
        first.metric(t("training.entropy.first"), f"{moments[0].entropy:.4f}")
        second.metric(t("training.entropy.last"), f"{moments[-1].entropy:.4f}")
        _curve(moments, "entropy", t("training.entropy.entropy"), 160)
    else:
        st.info(t("training.entropy.none", change=f"{change:g}"))
    left, right = st.columns(2)
    with left:
        _map(session, before, t("training.before"))
    with right:
        _map(session, heat, t("training.entropy.with", weight=weight))


def task(session: Session) -> None:
    """The same photos with another learning rate: the whole training, at once."""
    found = _finished(session)
    if found is None:
        return
    power = st.slider(t("training.task.power"), -5.0, 0.0, -3.0, 0.5, key=keys.POWER, bind=URL)
    plan = replace(HEAD_PLAN, rate=10**power)
    training, moments = trained_again(session, found, plan)
    _curve(moments, "loss", t("training.loss"), 260)
    accuracy = training.accuracy(found.inputs[found.held_out], found.targets[found.held_out])
    st.markdown(
        t("training.task.result", loss=f"{moments[-1].loss:.4f}", accuracy=f"{accuracy:.0%}")
    )


def _show_run(found: Run, chart: Any) -> None:
    """The curve, the last numbers, and the photos that were held out."""
    with chart.container():
        _curves(found.moments)
    last = found.moments[-1]
    first, second, third = st.columns(3)
    first.metric(t("training.run.last_loss"), f"{last.loss:.4f}")
    second.metric(t("training.run.accuracy"), f"{last.accuracy:.0%}")
    third.metric(t("training.run.held_out"), f"{found.accuracy:.0%}")
    with torch.no_grad():
        classify: Any = found.vit.anatomy.classifier
        shares = classify(found.inputs[found.held_out]).softmax(dim=-1)
    titles = [class_title(name) for name in found.names]
    names = [titles[index] for index in shares.argmax(dim=-1).tolist()]
    table = pd.DataFrame(
        {
            "photo": found.thumbs,
            "class": [titles[index] for index in found.targets[found.held_out].tolist()],
            "before": [f"1/{len(titles)}"] * len(names),
            "after": [
                f"{n} · {p:.1%}" for n, p in zip(names, shares.amax(-1).tolist(), strict=True)
            ],
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "photo": st.column_config.ImageColumn(t("training.run.held_photo")),
            "class": t("training.run.class"),
            "before": t("training.before"),
            "after": t("training.after_word"),
        },
    )


def _finished(session: Session) -> Run | None:
    """The head that was trained; if there is none, a button that trains one on the samples."""
    found = visit().trained
    if found is None:
        st.info(t("training.run.first"), icon=":material/model_training:")
        if st.button(t("training.run.quick"), type="primary", key=keys.TRAIN_QUICKLY):
            take_samples()
            visit().trained = train_head(session, visit().album, _drawn_into(st.empty()))
            st.rerun()
    return found


def _map(session: Session, heat: Heatmap, caption: str) -> None:
    picture = session.small
    box = (0.0, 0.0, float(picture.width), float(picture.height))
    placed = replace(heat, box=box, photo=None)
    st.image(overlay(picture, placed, alpha=0.6), caption=caption, alt=caption, width=180)


def _drawn_into(chart: Any) -> Callable[[list[Moment]], None]:
    """What draws the curves of a training under way in this place."""

    def draw(moments: list[Moment]) -> None:
        with chart.container():
            _curves(moments)

    return draw


def _curves(moments: Sequence[Moment]) -> None:
    """Loss and accuracy of every step, side by side."""
    left, right = st.columns(2)
    with left:
        _curve(moments, "loss", t("training.loss"), 190)
    with right:
        _curve(moments, "accuracy", t("training.run.accuracy"), 190)


def _curve(moments: Sequence[Moment], what: str, title: str, height: int) -> None:
    table = pd.DataFrame(
        {"step": [m.step + 1 for m in moments], what: [getattr(m, what) for m in moments]}
    )
    st.altair_chart(
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("step", title=t("training.step")),
            y=alt.Y(what, title=title),
            tooltip=[
                alt.Tooltip("step", title=t("training.step")),
                alt.Tooltip(what, title=title, format=".4f"),
            ],
        ),
        height=height,
    )


def _bars(names: list[str], shares: list[float]) -> None:
    table = pd.DataFrame({"name": names, "share": shares})
    st.altair_chart(
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X(
                "share", title=t("training.beginning.probability"), scale=alt.Scale(domain=[0, 1])
            ),
            y=alt.Y("name", title=None),
            tooltip=[
                alt.Tooltip("name", title=t("training.run.class")),
                alt.Tooltip("share", title=t("training.beginning.probability"), format=".1%"),
            ],
        ),
        height=200,
    )


LESSON = Lesson(
    7,
    "training",
    (
        Step("freezing", freezing, guess=True),
        Step("augment", augment),
        Step(
            "warm_up", warm_up, formula=r"\eta_s = \frac{\eta}{2}\,(1 + \cos(\pi\,\frac{s-w}{S-w}))"
        ),
        Step("beginning", beginning, guess=True, formula=r"L = -\ln\, p_y"),
        Step("run", run),
        Step("after", after, guess=True),
        Step("entropy", entropy, formula=r"L = -\ln\, p_y + \lambda\, H"),
    ),
    task,
    {
        "Touvron et al. 2020: Training data-efficient image transformers": "https://arxiv.org/abs/2012.12877",
        "Steiner et al. 2021: How to train your ViT?": "https://arxiv.org/abs/2106.10270",
        "Loshchilov & Hutter 2016: SGDR": "https://arxiv.org/abs/1608.03983",
    },
)
