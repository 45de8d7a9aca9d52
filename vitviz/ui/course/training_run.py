"""Trainings on a visitor's photos: of a head, or of the last block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from vitviz.heatmap import Heatmap
from vitviz.methods.explain import explain
from vitviz.photos.load import load_image
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.training.plan import Plan, hold_out
from vitviz.training.trained_part import frozen_part
from vitviz.training.training import Moment, Training, start
from vitviz.ui.course.album_editor import LEAST_PHOTOS, class_title
from vitviz.ui.parts.browser import thumbnail
from vitviz.ui.visit.album import Album, Run
from vitviz.ui.visit.language import t
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import visit
from vitviz.ui.visit.turns import many_turns
from vitviz.zoo.load import Vit

HEAD_PLAN = Plan(steps=30, warmup=5, rate=1e-3)
BLOCK_PLAN = Plan(steps=20, warmup=4, rate=3e-4, blocks=1, batch=12)
REDRAWN = 5  # the chart, after so many steps


def trained_again(session: Session, found: Run, plan: Plan) -> tuple[Training, list[Moment]]:
    """The same photos with another plan, from the features of the finished run."""
    trained = [index for index in range(len(found.inputs)) if index not in found.held_out]
    labels = [class_title(name) for name in found.names]
    _, training = start(
        session.rec.vit, labels, found.inputs[trained], found.targets[trained], plan
    )
    return training, [training.step() for _ in range(plan.steps)]


def _pixels(vit: Vit, album: Album) -> tuple[list[torch.Tensor], list[str]]:
    """The model's inputs and small pictures of all photos, class after class."""
    photos = [load_image(data) for index in album.used for data in album.photos[index]]
    return [vit.transform(photo) for photo in photos], [thumbnail(photo, 96) for photo in photos]


def train_head(session: Session, album: Album, draw: Callable[[list[Moment]], None]) -> Run:
    """Train a head on the album's photos, and draw its loss meanwhile."""
    vit, names = session.rec.vit, [album.names[index] for index in album.used]
    counts = [len(album.photos[index]) for index in album.used]
    targets = torch.repeat_interleave(torch.tensor(counts))
    trained, held_out = hold_out(counts, LEAST_PHOTOS)
    with many_turns(t("training.run.training")) as progress:
        pixels, thumbs = _pixels(vit, album)
        inputs = frozen_part(vit, pixels, 0, lambda share: progress(share / 2))
        labels = [class_title(name) for name in names]
        own, training = start(vit, labels, inputs[trained], targets[trained], HEAD_PLAN)
        moments: list[Moment] = []
        for moment in _steps(training):
            moments.append(moment)
            progress(0.5 + len(moments) / HEAD_PLAN.steps / 2)
            if len(moments) % REDRAWN == 0:
                draw(moments)
    accuracy = training.accuracy(inputs[held_out], targets[held_out])
    shown = [thumbs[index] for index in held_out]
    return Run(own, names, moments, inputs, targets, held_out, shown, accuracy)


def train_block(session: Session, weight: float) -> tuple[float, list[Moment], Heatmap, float]:
    """Train the last block of a private copy; only its map of this photo is kept."""
    vit, album = session.rec.vit, visit().album
    labels = [class_title(album.names[index]) for index in album.used]
    counts = [len(album.photos[index]) for index in album.used]
    plan = replace(BLOCK_PLAN, entropy=weight, blocks=1 if weight else 0)
    targets = torch.repeat_interleave(torch.tensor(counts))
    trained, _ = hold_out(counts, LEAST_PHOTOS)
    photo = opened(session.photo)
    with many_turns(t("training.run.training")) as progress:
        pixels, _ = _pixels(vit, album)
        inputs = frozen_part(vit, pixels, plan.blocks, lambda share: progress(share / 2))
        own, training = start(vit, labels, inputs[trained], targets[trained], plan)
        moments = []
        for moment in _steps(training):
            moments.append(moment)
            progress(0.5 + len(moments) / plan.steps / 2)
        rec = record(own, photo)
    heat, change = explain(rec, "attention"), largest_change(session.rec, rec)
    return weight, moments if weight else [], heat, change


def _steps(training: Training) -> Iterator[Moment]:
    for _ in range(training.plan.steps):
        yield training.step()


def largest_change(before: Recording, after: Recording) -> float:
    """The largest difference between the class token's attention in any layer and head."""
    return max(
        float((after.attention_row(layer) - before.attention_row(layer)).abs().max())
        for layer in range(before.num_layers)
    )
