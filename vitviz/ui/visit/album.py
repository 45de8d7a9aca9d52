"""What a visitor's trainings keep: classes with their photos, and a head that was trained."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from vitviz.errors import ImageError
from vitviz.training.training import Moment
from vitviz.zoo.load import Vit

MOST_CLASSES = 5


@dataclass(frozen=True)
class ClassName:
    """What a class is called: as the visitor typed it; else, in the language of the moment, as the
    ready-made class or by its number."""

    number: int
    ready: str = ""
    typed: str = ""


@dataclass
class Album:
    """The visitor's classes: their names and their photos' files, in memory only."""

    names: list[ClassName] = field(
        default_factory=lambda: [ClassName(index + 1) for index in range(MOST_CLASSES)]
    )
    photos: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(MOST_CLASSES)])
    emptied: int = 0  # how often the upload field was emptied: part of its key
    refused: list[tuple[str, ImageError]] = field(default_factory=list)  # files of the last upload
    overfull: bool = False  # whether that upload had more photos than a class takes

    @property
    def used(self) -> list[int]:
        """The classes that have photos."""
        return [index for index, photos in enumerate(self.photos) if photos]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training of a head."""

    vit: Vit
    names: list[ClassName]
    moments: list[Moment]
    inputs: torch.Tensor
    targets: torch.Tensor
    held_out: list[int]
    thumbs: list[str]
    accuracy: float
