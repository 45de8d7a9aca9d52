"""The class that an explanation or a measurement is about."""

from __future__ import annotations

from numbers import Integral

import torch

from vitviz.errors import MethodError
from vitviz.recording.recording import Recording

__all__ = ["check_class", "target_class"]


def target_class(
    rec: Recording, target: int | None, title: str, instead: str = "choose a model that has one"
) -> int:
    """Index of the class that `title` is about; the top prediction if `target` is None.

    Raises:
        MethodError: if the model has no classifier (the sentence ends with what to do `instead`),
            is not in float32, or has no such class.
    """
    if not rec.predictions:
        raise MethodError(
            f"{rec.vit.name} has no classifier, and {title} is about a class; {instead}."
        )
    if rec.vit.anatomy.float_type != torch.float32:
        raise MethodError(
            f"{rec.vit.name} is not in float32, and {title} runs it again with inputs that "
            "are; convert it with module.float() first."
        )
    return rec.predictions[0].index if target is None else check_class(rec, target)


def check_class(rec: Recording, index: int) -> int:
    """The index as an int; MethodError if the model has no such class."""
    if isinstance(index, Integral) and type(index) is not bool and 0 <= index < len(rec.logits):
        return int(index)
    raise MethodError(
        f"There is no class {index!r}; this model's classes are 0 to {len(rec.logits) - 1}."
    )
