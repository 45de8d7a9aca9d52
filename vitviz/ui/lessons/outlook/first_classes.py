"""What the model says by other logits."""

from __future__ import annotations

from torch import Tensor

from vitviz.recording.predictions import Prediction, rank_classes
from vitviz.recording.recording import Recording

CLASSES = 3


def first_classes(rec: Recording, logits: Tensor) -> list[Prediction]:
    """The model's first classes by other logits."""
    return rank_classes(rec.vit, rec.reading, logits)[:CLASSES]
