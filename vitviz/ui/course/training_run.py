"""Trainings on a visitor's photos: of a head, or of the last block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from PIL import Image

from vitviz.heatmap import Heatmap
from vitviz.methods.explain import explain
from vitviz.photos.load import load_image
from vitviz.progress import part_of
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.training.plan import Plan, hold_out
from vitviz.training.trained_part import frozen_part
from vitviz.training.training import Moment, Training, start
from vitviz.ui.course.album_editor import LEAST_PHOTOS, class_title
from vitviz.ui.parts.browser import thumbnail
from vitviz.ui.visit.album import Album, ClassName, Run
from vitviz.ui.visit.language import t
from vitviz.ui.visit.opening import opened
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.state import Visit, visit
from vitviz.ui.visit.work import Work
from vitviz.ui.visit.works import begin, underway, watch
from vitviz.zoo.load import Vit

HEAD_PLAN = Plan(steps=30, warmup=5, rate=1e-3)
BLOCK_PLAN = Plan(steps=20, warmup=4, rate=3e-4, blocks=1, batch=12)
REDRAWN = 5  # the chart, after so many steps
HEAD, BLOCK, NARROWED = "training a head", "training a block", "narrowed"


def trained_again(session: Session, found: Run, plan: Plan) -> tuple[Training, list[Moment]]:
    """The same photos with another plan, from the features of the finished run."""
    trained = [index for index in range(len(found.inputs)) if index not in found.held_out]
    labels = [class_title(name) for name in found.names]
    _, training = start(
        session.rec.vit, labels, found.inputs[trained], found.targets[trained], plan
    )
    return training, [training.step() for _ in range(plan.steps)]


@dataclass(frozen=True)
class Narrowed:
    """A training of the last block: the weight of the entropy, how it went, the photo's map
    afterwards, and how much the class token's attention changed."""

    weight: float
    moments: list[Moment]
    heat: Heatmap
    change: float


@dataclass(frozen=True)
class Lot:
    """The photos of a training, class after class, and what their classes are called."""

    photos: list[bytes]
    counts: list[int]
    names: list[ClassName]
    labels: list[str]  # in the language in which the training was begun

    @classmethod
    def of(cls, album: Album) -> Lot:
        """Of an album as it is now: it may be changed while the training goes on."""
        names = [album.names[index] for index in album.used]
        return cls(
            [photo for index in album.used for photo in album.photos[index]],
            [len(album.photos[index]) for index in album.used],
            names,
            [class_title(name) for name in names],
        )

    @property
    def targets(self) -> torch.Tensor:
        """The class of each photo."""
        return torch.repeat_interleave(torch.tensor(self.counts))

    def pixels(self, vit: Vit) -> tuple[list[torch.Tensor], list[str]]:
        """The model's inputs and small pictures of all photos."""
        photos = [load_image(data) for data in self.photos]
        return [vit.transform(photo) for photo in photos], [thumbnail(p, 96) for p in photos]


def begin_head(session: Session, album: Album) -> None:
    """Begin to train a head on the album's photos, in place of the one that is being trained."""
    begin(HEAD, None, partial(_train_head, session.rec.vit, Lot.of(album), visit()))


def head_in_training(draw: Callable[[list[Moment]], None]) -> None:
    """Wait for the head that is being trained, and draw its loss meanwhile."""
    if underway(HEAD):
        watch(HEAD, t("training.run.training"), draw)


def _train_head(vit: Vit, lot: Lot, state: Visit, work: Work[Run]) -> Run:
    """Train, and leave the head with the visitor, on whichever page."""
    kept, held_out = hold_out(lot.counts, LEAST_PHOTOS)
    pixels, thumbs = lot.pixels(vit)
    inputs, targets = frozen_part(vit, pixels, 0, part_of(work.progress, 0, 1, 2)), lot.targets
    own, training = start(vit, lot.labels, inputs[kept], targets[kept], HEAD_PLAN)
    moments = []
    for moment in _steps(training):
        moments.append(moment)
        work.progress(0.5 + len(moments) / HEAD_PLAN.steps / 2)
        if len(moments) % REDRAWN == 0:
            work.tell(list(moments))
    accuracy = training.accuracy(inputs[held_out], targets[held_out])
    shown = [thumbs[index] for index in held_out]
    state.trained = Run(own, lot.names, moments, inputs, targets, held_out, shown, accuracy)
    return state.trained


def begin_block(session: Session, weight: float) -> None:
    """Begin to train the last block of a private copy; only its map of this photo is kept."""
    lot, photo, derived = Lot.of(visit().album), opened(session.photo), session.rec.derived

    def train(work: Work[None]) -> None:
        derived.keep(None, _train_block(session.rec, lot, photo, weight, work), NARROWED, most=1)

    begin(BLOCK, derived, train)


def narrowed(session: Session) -> Narrowed | None:
    """What the last training of a block left of this photo; waits for the one under way."""
    derived = session.rec.derived
    if underway(BLOCK, derived):
        watch(BLOCK, t("training.run.training"))
    found: Narrowed | None = derived.last(NARROWED)
    return found


def _train_block(
    rec: Recording, lot: Lot, photo: Image.Image, weight: float, work: Work[None]
) -> Narrowed:
    plan = replace(BLOCK_PLAN, entropy=weight, blocks=1 if weight else 0)
    kept, _ = hold_out(lot.counts, LEAST_PHOTOS)
    pixels, _ = lot.pixels(rec.vit)
    inputs = frozen_part(rec.vit, pixels, plan.blocks, part_of(work.progress, 0, 1, 2))
    own, training = start(rec.vit, lot.labels, inputs[kept], lot.targets[kept], plan)
    moments = []
    for moment in _steps(training):
        moments.append(moment)
        work.progress(0.5 + len(moments) / plan.steps / 2)
    after = record(own, photo)
    heat, change = explain(after, "attention"), largest_change(rec, after)
    return Narrowed(weight, moments if weight else [], heat, change)


def _steps(training: Training) -> Iterator[Moment]:
    for _ in range(training.plan.steps):
        yield training.step()


def largest_change(before: Recording, after: Recording) -> float:
    """The largest difference between the class token's attention in any layer and head."""
    return max(
        float((after.attention_row(layer) - before.attention_row(layer)).abs().max())
        for layer in range(before.num_layers)
    )
