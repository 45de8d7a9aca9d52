"""What a model says of a photo: its classes, most probable first."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vitviz.models.vit import Vit

__all__ = ["Prediction", "rank_classes"]


@dataclass(frozen=True)
class Prediction:
    """One class: its name, its index in the model's output, its softmax probability."""

    label: str
    index: int
    probability: float


def rank_classes(vit: Vit, logits: Tensor) -> list[Prediction]:
    """Logits (classes,) → every class, most probable first."""
    probabilities = logits.float().softmax(dim=-1)
    order = probabilities.argsort(descending=True, stable=True).tolist()
    labels = vit.labels
    return [
        Prediction(labels[i] if i < len(labels) else f"class {i}", i, float(probabilities[i]))
        for i in order
    ]
