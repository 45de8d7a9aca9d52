"""Lesson 7: a pretrained model learns new classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
import torch
from PIL import Image

from vitviz.augmentation import augmentation, random_crops
from vitviz.errors import ImageError
from vitviz.heatmap import Heatmap
from vitviz.images import load_image, samples
from vitviz.methods import explain
from vitviz.overlay import overlay
from vitviz.recording import Recording, record
from vitviz.trained_part import SeededDropout, features, frozen_part, trainable_parameters
from vitviz.training import Moment, Plan, Training, hold_out, learning_rates, start
from vitviz.ui.browser import URL, thumbnail
from vitviz.ui.language import explained, t
from vitviz.ui.lesson import Lesson, Step
from vitviz.ui.photo_picker import FILES, as_code
from vitviz.ui.session import Session, many_turns, turn
from vitviz.zoo import Vit

MOST_PHOTOS, LEAST_PHOTOS, MOST_CLASSES = 20, 3, 5
KEPT_SIDE = 640  # px of the longer side of a training photo that is kept
HEAD_PLAN = Plan(steps=30, warmup=5, rate=1e-3)
BLOCK_PLAN = Plan(steps=20, warmup=4, rate=3e-4, blocks=1, batch=12)
READY_MADE = ("cat", "coffee", "flower")
VIEWS = 6
REDRAWN = 5  # the chart, after so many steps


@dataclass
class Album:
    """The visitor's classes: their names and their photos' files, in memory only."""

    names: list[str] = field(default_factory=lambda: [""] * MOST_CLASSES)
    photos: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(MOST_CLASSES)])
    emptied: int = 0  # how often the upload field was emptied: part of its key
    problems: list[str] = field(default_factory=list)

    def name(self, index: int) -> str:
        """A class's name; its number until it has one."""
        return self.names[index].strip() or t("training.run.unnamed", number=index + 1)

    @property
    def used(self) -> list[int]:
        """The classes that have photos."""
        return [index for index, photos in enumerate(self.photos) if photos]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training of a head."""

    vit: Vit
    labels: list[str]
    moments: list[Moment]
    inputs: torch.Tensor
    targets: torch.Tensor
    held_out: list[int]
    thumbs: list[str]
    accuracy: float


def freezing(session: Session) -> None:
    """How much of the model is trained."""
    vit = session.rec.vit
    last = session.rec.num_layers
    classes = st.slider(t("training.classes"), 2, MOST_CLASSES, 3, key="classes", bind=URL)
    blocks = st.slider(t("training.freezing.blocks"), 0, last, 0, key="blocks", bind=URL)
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
            x=alt.X("blocks:O", title=t("training.freezing.blocks"), axis=alt.Axis(labelAngle=0)),
            y=alt.Y("millions", title=t("training.freezing.millions")),
            opacity=alt.condition(alt.datum.blocks == blocks, alt.value(1), alt.value(0.4)),
            tooltip=["blocks", "millions"],
        ),
        height=230,
    )
    st.caption(t("training.freezing.all", every=f"{every:,}"))


def augment(session: Session) -> None:
    """Random views of this photo."""
    kinds = ("crop", "flip", "colour")
    chosen = st.segmented_control(
        t("training.augment.kinds"),
        kinds,
        selection_mode="multi",
        default=kinds,
        format_func=lambda kind: t(f"training.augment.{kind}"),
        key="kinds",
    )
    drawn = st.session_state.setdefault("drawn", 0)
    st.button(
        t("training.augment.again"),
        icon=":material/casino:",
        key="again",
        on_click=lambda: st.session_state.update(drawn=drawn + 1),
    )
    key = ("views", tuple(chosen), drawn)
    if session.kept.get("views", (None,))[0] != key:
        view = augmentation(session.rec.pixels.shape[-2:], **{k: k in chosen for k in kinds})
        session.kept["views"] = key, [view(session.small) for _ in range(VIEWS)]
    columns = st.columns(3)
    for number, picture in enumerate(session.kept["views"][1]):
        alternative = t("training.augment.alt", number=number + 1)
        columns[number % 3].image(picture, alt=alternative, width="stretch")


def warm_up(session: Session) -> None:
    """The learning rate of every step."""
    del session
    steps, warmup = st.columns(2)
    count = steps.slider(t("training.steps"), 10, 100, HEAD_PLAN.steps, 5, key="steps", bind=URL)
    rising = warmup.slider(t("training.warm_up.rising"), 0, 9, 5, key="warmup", bind=URL)
    rates = learning_rates(HEAD_PLAN.rate, count, rising)
    table = pd.DataFrame({"step": range(1, count + 1), "rate": rates})
    st.altair_chart(
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("step", title=t("training.step")),
            y=alt.Y("rate", title=t("training.warm_up.rate"), axis=alt.Axis(format="~g")),
            tooltip=["step", "rate"],
        ),
        height=300,
    )
    first, second = st.columns(2)
    first.metric(t("training.warm_up.first"), f"{rates[0]:.6f}")
    second.metric(t("training.warm_up.last"), f"{rates[-1]:.6f}")


def beginning(session: Session) -> None:
    """A new head's first probabilities for this photo, and what dropout changes."""
    classes = st.slider(t("training.classes"), 2, MOST_CLASSES, 3, key="classes", bind=URL)
    kind = st.segmented_control(
        t("training.beginning.head"),
        ("zero", "random"),
        default="zero",
        required=True,
        format_func=lambda kind: t(f"training.beginning.{kind}"),
        key="head_kind",
    )
    dropout = st.slider(t("training.beginning.dropout"), 0.0, 0.9, 0.0, 0.1, key="dropout")
    if "features" not in session.kept:
        with turn():
            session.kept["features"] = features(session.rec.vit, session.rec.pixels[None])
    found = SeededDropout(dropout, 0).train()(session.kept["features"])
    labels = [t("training.run.unnamed", number=number + 1) for number in range(classes)]
    plan = Plan(zero_head=kind == "zero")
    _, training = start(session.rec.vit, labels, found, torch.zeros(1, dtype=torch.long), plan)
    with torch.no_grad():
        probabilities = training.part(found)[0].softmax(dim=-1)
    first, second = st.columns(2)
    first.metric(t("training.beginning.loss"), f"{-math.log(probabilities[0]):.4f}")
    second.metric(t("training.beginning.off"), f"{int((found == 0).sum())} / {found.numel()}")
    _bars(labels, probabilities.tolist())


def run(session: Session) -> None:
    """The visitor's classes and photos, and the training of a head on them."""
    album = _album()
    _edit(album)
    _strip(album)
    take, train = st.columns(2)
    take.button(
        t("training.run.take"), icon=":material/photo_library:", key="take", on_click=_take_samples
    )
    pressed = train.button(
        t("training.run.train"), icon=":material/model_training:", type="primary", key="train"
    )
    chart = st.empty()
    if pressed and _is_enough(album):
        st.session_state["run"] = _train_head(session, album, chart)
    if found := st.session_state.get("run"):
        _show_run(found, chart)


def after(session: Session) -> None:
    """This photo before and after: predictions, attention and relevance."""
    found = _finished(session)
    if found is None:
        return
    key = ("after", id(found))
    if session.kept.get("after", (None,))[0] != key:
        with st.spinner(t("photo.looking")), turn():
            rec = record(found.vit, load_image(session.data))
            maps = [explain(r, "relevance") for r in (session.rec, rec)]
        session.kept["after"] = key, rec.predictions, maps, _largest_change(session.rec, rec)
    _, predictions, maps, change = session.kept["after"]
    attention = explain(session.rec, "attention")
    st.metric(t("training.after.change"), f"{change:g}")
    for column, name, heat, best in zip(
        st.columns(2),
        ("before", "after_word"),
        maps,
        (session.rec.predictions, predictions),
        strict=True,
    ):
        with column:
            title = f"{best[0].label} · {best[0].probability:.1%}"
            st.markdown(f"**{t(f'training.{name}')}** · {as_code(title)}")
            _map(session, attention, t("training.after.attention"))
            _map(session, heat, t("training.after.relevance"))


def entropy(session: Session) -> None:
    """The last block trained with the attention entropy in the loss."""
    found = _finished(session)
    if found is None:
        return
    weight = st.slider("λ", 0.0, 3.0, 2.0, 0.5, key="lambda", bind=URL)
    pressed = st.button(t("training.run.train"), icon=":material/model_training:", key="narrow")
    if pressed and _is_enough(_album()):
        session.kept["narrow"] = _train_block(session, weight)
    before = explain(session.rec, "attention")
    kept = session.kept.get("narrow")
    if kept is None:
        _map(session, before, t("training.before"))
        return
    weight, moments, heat, change = kept
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
    power = st.slider(t("training.task.power"), -5.0, 0.0, -3.0, 0.5, key="power", bind=URL)
    plan = replace(HEAD_PLAN, rate=10**power)
    _, training, moments = _trained_again(session, found, plan)
    _curve(moments, "loss", t("training.loss"), 260)
    accuracy = training.accuracy(found.inputs[found.held_out], found.targets[found.held_out])
    st.markdown(
        t("training.task.result", loss=f"{moments[-1].loss:.4f}", accuracy=f"{accuracy:.0%}")
    )


def _trained_again(session: Session, found: Run, plan: Plan) -> tuple[Vit, Training, list[Moment]]:
    kept = [index for index in range(len(found.inputs)) if index not in found.held_out]
    own, training = start(
        session.rec.vit, found.labels, found.inputs[kept], found.targets[kept], plan
    )
    return own, training, [training.step() for _ in range(plan.steps)]


def _album() -> Album:
    return st.session_state.setdefault("album", Album())


def _edit(album: Album) -> None:
    """One class at a time: its name and its photos."""
    index = st.segmented_control(
        t("training.run.class"),
        range(MOST_CLASSES),
        default=0,
        required=True,
        format_func=album.name,
        key="edited",
    )
    name, upload = st.columns(2)
    name.text_input(
        t("training.run.name"),
        album.names[index],
        max_chars=30,
        key=f"name{index}.{album.emptied}",
        on_change=lambda: album.names.__setitem__(
            index, st.session_state[f"name{index}.{album.emptied}"]
        ),
    )
    if album.photos[index]:
        name.button(
            t("training.run.remove"),
            icon=":material/delete:",
            type="tertiary",
            key="remove",
            on_click=album.photos[index].clear,
        )
    key = f"photos{index}.{album.emptied}"
    upload.file_uploader(
        t("training.run.photos", least=LEAST_PHOTOS, most=MOST_PHOTOS),
        FILES,
        accept_multiple_files=True,
        key=key,
        on_change=_take_files,
        args=(index, key),
    )
    for problem in album.problems:
        st.warning(problem, icon=":material/broken_image:")


def _take_files(index: int, key: str) -> None:
    """Keep what can be used of the uploaded files, and say why the others cannot."""
    album = _album()
    album.problems = []
    for file in st.session_state[key]:
        if len(album.photos[index]) == MOST_PHOTOS:
            album.problems.append(t("training.run.too_many", most=MOST_PHOTOS))
            break
        try:
            with turn():
                album.photos[index].append(_small_file(load_image(file.getvalue())))
        except ImageError as error:
            album.problems.append(f"{as_code(file.name)}: {explained(error)}")
    album.emptied += 1


def _small_file(photo: Image.Image) -> bytes:
    photo.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    file = BytesIO()
    photo.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _take_samples() -> None:
    """Crops of three samples as three classes."""
    album = Album(emptied=_album().emptied + 1)
    found = {sample.id: sample for sample in samples()}
    with turn():
        for index, name in enumerate(READY_MADE):
            album.names[index] = t(f"training.run.{name}")
            crops = random_crops(load_image(found[name].path), 5, seed=index)
            album.photos[index] = [_small_file(crop) for crop in crops]
    st.session_state["album"] = album


def _strip(album: Album) -> None:
    """How many photos each class has."""
    counts = [f"{as_code(album.name(i))} {len(album.photos[i])}" for i in album.used]
    st.caption(" · ".join(counts) or t("training.run.empty"))


def _is_enough(album: Album) -> bool:
    """Whether the photos are enough to train on; says what is missing."""
    poor = [index for index in album.used if len(album.photos[index]) < LEAST_PHOTOS]
    if len(album.used) < 2:
        st.warning(t("training.run.one_class"), icon=":material/info:")
    elif poor:
        few = as_code(album.name(poor[0]))
        st.warning(t("training.run.too_few", name=few, least=LEAST_PHOTOS), icon=":material/info:")
    return len(album.used) > 1 and not poor


def _pixels(vit: Vit, album: Album) -> tuple[list[torch.Tensor], list[str]]:
    """The model's inputs and small pictures of all photos, class after class."""
    photos = [load_image(data) for index in album.used for data in album.photos[index]]
    return [vit.transform(photo) for photo in photos], [thumbnail(photo, 96) for photo in photos]


def _train_head(session: Session, album: Album, chart: Any) -> Run:
    """Train a head on the album's photos, and draw its loss meanwhile."""
    vit, labels = session.rec.vit, [album.name(index) for index in album.used]
    counts = [len(album.photos[index]) for index in album.used]
    targets = torch.repeat_interleave(torch.tensor(counts))
    kept, held_out = hold_out(counts, LEAST_PHOTOS)
    with many_turns(t("training.run.training")) as progress:
        pixels, thumbs = _pixels(vit, album)
        inputs = frozen_part(vit, pixels, 0, lambda share: progress(share / 2))
        own, training = start(vit, labels, inputs[kept], targets[kept], HEAD_PLAN)
        moments: list[Moment] = []
        for moment in _steps(training):
            moments.append(moment)
            progress(0.5 + len(moments) / HEAD_PLAN.steps / 2)
            if len(moments) % REDRAWN == 0:
                with chart.container():
                    _curves(moments)
    accuracy = training.accuracy(inputs[held_out], targets[held_out])
    shown = [thumbs[index] for index in held_out]
    return Run(own, labels, moments, inputs, targets, held_out, shown, accuracy)


def _train_block(session: Session, weight: float) -> tuple[float, list[Moment], Heatmap, float]:
    """Train the last block of a private copy; only its map of this photo is kept."""
    vit, album = session.rec.vit, _album()
    labels = [album.name(index) for index in album.used]
    counts = [len(album.photos[index]) for index in album.used]
    plan = replace(BLOCK_PLAN, entropy=weight, blocks=1 if weight else 0)
    targets = torch.repeat_interleave(torch.tensor(counts))
    kept, _ = hold_out(counts, LEAST_PHOTOS)
    with many_turns(t("training.run.training")) as progress:
        pixels, _ = _pixels(vit, album)
        inputs = frozen_part(vit, pixels, plan.blocks, lambda share: progress(share / 2))
        own, training = start(vit, labels, inputs[kept], targets[kept], plan)
        moments = []
        for moment in _steps(training):
            moments.append(moment)
            progress(0.5 + len(moments) / plan.steps / 2)
        rec = record(own, load_image(session.data))
    heat, change = explain(rec, "attention"), _largest_change(session.rec, rec)
    return weight, moments if weight else [], heat, change


def _steps(training: Training) -> Iterator[Moment]:
    for _ in range(training.plan.steps):
        yield training.step()


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
        head: Any = found.vit.module
        shares = head.get_classifier()(found.inputs[found.held_out]).softmax(dim=-1)
    names = [found.labels[index] for index in shares.argmax(dim=-1).tolist()]
    table = pd.DataFrame(
        {
            "photo": found.thumbs,
            "class": [found.labels[index] for index in found.targets[found.held_out].tolist()],
            "before": [f"1/{len(found.labels)}"] * len(names),
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
    found: Run | None = st.session_state.get("run")
    if found is None:
        st.info(t("training.run.first"), icon=":material/model_training:")
        if st.button(t("training.run.quick"), type="primary", key="quick"):
            _take_samples()
            found = st.session_state["run"] = _train_head(session, _album(), st.empty())
            st.rerun()
    return found


def _largest_change(before: Recording, after: Recording) -> float:
    """The largest difference between the class token's attention in any layer and head."""
    return max(
        float((after.attention_row(layer) - before.attention_row(layer)).abs().max())
        for layer in range(before.num_layers)
    )


def _map(session: Session, heat: Heatmap, caption: str) -> None:
    picture = session.small
    placed = replace(heat, box=(0.0, 0.0, float(picture.width), float(picture.height)))
    st.image(overlay(picture, placed, alpha=0.6), caption=caption, alt=caption, width=200)


def _curves(moments: Sequence[Moment]) -> None:
    """Loss and accuracy of every step, side by side."""
    left, right = st.columns(2)
    with left:
        _curve(moments, "loss", t("training.loss"), 160)
    with right:
        _curve(moments, "accuracy", t("training.run.accuracy"), 160)


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
            tooltip=["step", what],
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
            tooltip=["name", "share"],
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
