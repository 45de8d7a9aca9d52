"""What a model says of a photo: its classes, most probable first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.arguments import checked
from vitviz.models.labels import check_number
from vitviz.models.outputs import Outputs, found_outputs
from vitviz.models.transform import mode_of, transformed
from vitviz.models.vit import Vit
from vitviz.photos.given import PhotoLike, as_photo
from vitviz.recording.recorder import Recorder

__all__ = ["Prediction", "predict", "rank_classes", "read_outputs"]


@dataclass(frozen=True)
class Prediction:
    """One class: its name, its index in the model's output, and what the model says of it.

    Attributes:
        label: its name.
        index: its place in the model's output.
        value: its probability, or the score where the model's outputs are scores.
        probability: among all classes (softmax) or by itself (sigmoid); None for a score.

    Examples:
        >>> best = rec.predictions[0]
        >>> best.label, best.index
        ('Egyptian cat', 285)
        >>> round(sum(each.value for each in rec.predictions), 3)
        1.0
    """

    label: str
    index: int
    value: float
    probability: float | None


def rank_classes(vit: Vit, outputs: Outputs, numbers: Tensor) -> list[Prediction]:
    """A model's numbers, (classes,) → every class, most probable first; scores, which cannot be
    compared with each other, in their own order; nothing for an embedding."""
    if outputs.meaning == "embedding":
        return []
    scores = outputs.meaning == "score"
    values = outputs.values(numbers.float())
    order = values.argsort(descending=True, stable=True).tolist()
    unnamed = "output {}" if scores else "class {}"
    found = values.tolist()
    return [
        Prediction(
            vit.labels[i] if vit.labels else unnamed.format(i),
            i,
            found[i],
            None if scores else found[i],
        )
        for i in (range(len(found)) if scores else order)
    ]


def read_outputs(vit: Vit, numbers: Tensor, recorder: Recorder) -> tuple[Tensor, Outputs]:
    """What a model gave for one photo, as (classes,), and what it means; an embedding is empty.

    Args:
        vit: the model.
        numbers: what it gave for a batch of one.
        recorder: that watched it.

    Raises:
        ModelError: if there is not one label for each number.
    """
    if numbers.ndim == 1:  # one number for each photo
        numbers = numbers[:, None]
    if numbers.ndim != 2 or vit.outputs == "embedding":
        return numbers.new_empty(0), Outputs("embedding")
    seen = found_outputs(numbers, recorder.last, recorder.sigmoid)
    meaning = vit.outputs or seen.meaning
    if meaning == "embedding" and len(vit.labels) == numbers.shape[1]:
        meaning = "softmax"  # somebody has named them
    if meaning == "embedding":
        return numbers.new_empty(0), Outputs("embedding")
    check_number(vit.labels, numbers.shape[1], vit.name)
    return numbers[0], Outputs(meaning, seen.applied and seen.meaning == meaning)


@checked
@torch.no_grad()
def predict(vit: Vit, photo: PhotoLike) -> list[Prediction]:
    """Every class, most probable first, without a recording: of models without attention too.

    Args:
        vit: the model.
        photo: as `record` takes it.

    Raises:
        ModelError: if the model is in training mode, or there is not one label for each class.

    Examples:
        >>> predict(vit, photo)[0].label == rec.predictions[0].label
        True
    """
    photo = as_photo(photo, mode_of(vit.transform))
    pixels = transformed(vit.transform, photo)[None].to(vit.anatomy.float_type)
    with Recorder(vit.running) as recorder:
        found = vit.run(pixels)
    numbers, outputs = read_outputs(vit, found, recorder)
    return rank_classes(vit, outputs, numbers)
