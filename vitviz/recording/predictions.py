"""What a model says of a photo: its classes, most probable first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.models.transform import mode_of
from vitviz.models.vit import Vit
from vitviz.photos.given import Photo, as_photo

__all__ = ["Prediction", "predict", "rank_classes"]


@dataclass(frozen=True)
class Prediction:
    """One class: its name, its index in the model's output, its softmax probability.

    Examples:
        >>> best = rec.predictions[0]
        >>> best.label, best.index
        ('tabby', 48)
        >>> round(sum(each.probability for each in rec.predictions), 3)
        1.0
    """

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


@torch.no_grad()
def predict(vit: Vit, photo: Photo) -> list[Prediction]:
    """Every class, most probable first, without a recording: of models without attention too.

    Args:
        vit: the model.
        photo: as `record` takes it.

    Examples:
        >>> predict(vit, photo)[0].label == rec.predictions[0].label
        True
    """
    photo = as_photo(photo, mode_of(vit.transform))
    pixels = vit.transform(photo)[None].to(vit.anatomy.float_type)
    return rank_classes(vit, vit.module(pixels)[0])
