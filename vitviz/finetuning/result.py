"""What a fine-tuning found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitviz.finetuning.settings import FinetuneSettings
from vitviz.photos.folder import Skipped
from vitviz.training.plan import Plan
from vitviz.training.run import Epoch

__all__ = ["Finetuned"]


@dataclass(frozen=True)
class Finetuned:
    """A finished fine-tuning.

    Attributes:
        out: the model's folder; `load_model` takes it.
        report: the HTML file in it.
        base: the model it began with.
        settings: how it was trained.
        plan: what follows from them.
        labels: the classes.
        photos: how many there were of each class, held-out ones included.
        skipped: files that could not be used.
        trained: how many numbers were trained, and of how many.
        epochs: what was measured after each.
        best_epoch: whose weights were written, from 0.
        confusion: how many held-out photos of each class (row) were given each class (column) by
            the model as it was written, in float32.
        seconds: how long each stage took.
    """

    out: Path
    report: Path
    base: str
    settings: FinetuneSettings
    plan: Plan
    labels: tuple[str, ...]
    photos: tuple[int, ...]
    skipped: tuple[Skipped, ...]
    trained: tuple[int, int]
    epochs: tuple[Epoch, ...]
    best_epoch: int
    confusion: tuple[tuple[int, ...], ...]
    seconds: dict[str, float]

    @property
    def held_out(self) -> int:
        """How many photos were held out."""
        return sum(map(sum, self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of the held-out photos that the written model gets right."""
        return sum(row[i] for i, row in enumerate(self.confusion)) / self.held_out

    @property
    def class_accuracy(self) -> tuple[float, ...]:
        """The same for each class."""
        return tuple(row[i] / sum(row) for i, row in enumerate(self.confusion))
