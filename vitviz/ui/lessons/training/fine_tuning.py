"""A head, or the last block, trained on the visitor's photos, and what changed by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
import torch

from vitviz.heatmap import Heatmap
from vitviz.methods.explain import explain
from vitviz.pictures.overlay import overlay
from vitviz.recording.predictions import Prediction
from vitviz.recording.record import record
from vitviz.ui.course.album_editor import (
    class_title,
    edit_album,
    is_enough,
    list_album,
    take_samples,
)
from vitviz.ui.course.training_run import (
    HEAD_PLAN,
    begin_block,
    begin_head,
    head_in_training,
    largest_change,
    narrowed,
    trained_again,
)
from vitviz.ui.lessons.training.learning_curves import curve, drawn_into, loss_and_accuracy
from vitviz.ui.parts.browser import URL
from vitviz.ui.visit import keys
from vitviz.ui.visit.album import Run
from vitviz.ui.visit.language import label, t
from vitviz.ui.visit.markdown import as_words
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.turns import turn


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
        st.button(
            t("training.run.train"),
            icon=":material/model_training:",
            type="primary",
            key=keys.TRAIN,
            on_click=_ask_to_train,
        )
    list_album(album)
    chart = st.empty()
    if visit().asked_to_train:
        visit().asked_to_train = False
        if is_enough(album):
            begin_head(session, album)
    head_in_training(drawn_into(chart))
    if found := visit().trained:
        _show_run(found, chart)


def _ask_to_train() -> None:
    """A press outlives its run, which another click may end before it comes to the training."""
    visit().asked_to_train = True


def _show_run(found: Run, chart: Any) -> None:
    """The curve, the last numbers, and the photos that were held out."""
    with chart.container():
        loss_and_accuracy(found.moments)
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
            st.markdown(f"**{t(f'training.{when}')}** · {as_words(name)} · {best.value:.1%}")
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
        begin_block(session, weight)
    before, after = explain(session.rec, "attention"), narrowed(session)
    if after is None:
        _map(session, before, t("training.before"))
        return
    if after.moments:
        first, second = st.columns(2)
        first.metric(t("training.entropy.first"), f"{after.moments[0].entropy:.4f}")
        second.metric(t("training.entropy.last"), f"{after.moments[-1].entropy:.4f}")
        curve(after.moments, "entropy", t("training.entropy.entropy"), 125)
    else:
        st.info(t("training.entropy.none", change=f"{after.change:g}"))
    left, right = st.columns(2)
    with left:
        _map(session, before, t("training.before"))
    with right:
        _map(session, after.heat, t("training.entropy.with", weight=after.weight))


def task(session: Session) -> None:
    """The same photos with another learning rate: the whole training, at once."""
    found = _finished(session)
    if found is None:
        return
    power = st.slider(t("training.task.power"), -5.0, 0.0, -3.0, 0.5, key=keys.POWER, bind=URL)
    plan = replace(HEAD_PLAN, rate=10**power)
    training, moments = trained_again(session, found, plan)
    curve(moments, "loss", t("training.loss"), 260)
    accuracy = training.accuracy(found.inputs[found.held_out], found.targets[found.held_out])
    st.markdown(
        t("training.task.result", loss=f"{moments[-1].loss:.4f}", accuracy=f"{accuracy:.0%}")
    )


def _finished(session: Session) -> Run | None:
    """The head that was trained; if there is none, a button that trains one on the samples."""
    chart = st.empty()
    head_in_training(drawn_into(chart))
    chart.empty()
    found = visit().trained
    if found is None:
        st.info(t("training.run.first"), icon=":material/model_training:")
        if st.button(t("training.run.quick"), type="primary", key=keys.TRAIN_QUICKLY):
            take_samples()
            begin_head(session, visit().album)
            st.rerun()
    return found


def _map(session: Session, heat: Heatmap, caption: str) -> None:
    picture = session.small
    box = (0.0, 0.0, float(picture.width), float(picture.height))
    placed = replace(heat, box=box, fingerprint=None)
    st.image(overlay(picture, placed, alpha=0.6), caption=caption, alt=caption, width=180)
