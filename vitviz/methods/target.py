"""The class that an explanation or a measurement is about."""

from __future__ import annotations

from numbers import Integral

import torch

from vitviz.errors import MethodError, Phrase
from vitviz.recording.recording import Recording

__all__ = ["check_class", "target_class"]

OTHER_MODEL = Phrase("model_with_classifier", "choose a model that has one")


def target_class(
    rec: Recording, target: int | None, title: str | Phrase, instead: Phrase = OTHER_MODEL
) -> int:
    """Index of the class that `title` is about; the top prediction if `target` is None.

    Raises:
        MethodError: if the model has no classifier (the sentence ends with what to do `instead`),
            is not in float32, or has no such class.
    """
    if not rec.predictions:
        raise MethodError(
            "no_classifier",
            "{model} has no classifier, and {title} is about a class; {instead}.",
            model=rec.vit.name,
            title=title,
            instead=instead,
        )
    if rec.vit.anatomy.float_type != torch.float32:
        raise MethodError(
            "not_in_float32",
            "{model} is not in float32, and {title} runs it again with inputs that are; "
            "convert it with module.float() first.",
            model=rec.vit.name,
            title=title,
        )
    return rec.predictions[0].index if target is None else check_class(rec, target)


def check_class(rec: Recording, index: int) -> int:
    """The index as an int; MethodError if the model has no such class."""
    if isinstance(index, Integral) and type(index) is not bool and 0 <= index < len(rec.logits):
        return int(index)
    raise MethodError(
        "no_such_class",
        "There is no class {index!r}; this model's classes are 0 to {last}.",
        index=index,
        last=len(rec.logits) - 1,
    )
