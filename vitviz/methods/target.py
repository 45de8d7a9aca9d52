"""The class that an explanation or a measurement is about."""

from __future__ import annotations

import difflib
from numbers import Integral

import torch

from vitviz.errors import MethodError, Phrase, did_you_mean
from vitviz.models.vit import Vit
from vitviz.recording.recording import Recording

__all__ = ["Target", "check_class", "class_called", "class_index", "target_class"]

Target = int | str
"""A class by its index or its name."""

OTHER_MODEL = Phrase("model_with_classifier", "choose a model that has one")


def target_class(
    rec: Recording, target: Target | None, title: str | Phrase, instead: Phrase = OTHER_MODEL
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


def check_class(rec: Recording, named: Target) -> int:
    """The index of a class; MethodError if the model has no such class."""
    return class_index(rec.vit, len(rec.logits), named)


def class_index(vit: Vit, classes: int, named: Target) -> int:
    """The index of one of so many classes; MethodError if there is no such class."""
    index = class_called(vit, named) if isinstance(named, str) else named
    if isinstance(index, Integral) and type(index) is not bool and 0 <= index < classes:
        return int(index)
    raise MethodError(
        "no_such_class",
        "There is no class {index!r}; this model's classes are 0 to {last}.",
        index=index,
        last=classes - 1,
    )


def class_called(vit: Vit, name: str) -> int:
    """The index of the class of a name, whatever the case.

    Raises:
        MethodError: if the model has no class of that name, or several.
    """
    same = [index for index, label in enumerate(vit.labels) if label == name]
    lower = [label.lower() for label in vit.labels]
    found = same or [index for index, label in enumerate(lower) if label == name.lower()]
    if len(found) > 1:
        raise MethodError(
            "class_name_twice",
            "{count} classes of {model} are called “{name}”; give the index, one of {indices}.",
            count=len(found),
            model=vit.name,
            name=name,
            indices=", ".join(map(str, found)),
        )
    if found:
        return found[0]
    close = difflib.get_close_matches(name.lower(), lower, n=3)
    alike = [vit.labels[lower.index(label)] for label in close]
    by_index = Phrase("class_or_index", "give a class name or its index.")
    raise MethodError(
        "no_class_called",
        "{model} knows no class “{name}”; {hint}",
        model=vit.name,
        name=name,
        hint=did_you_mean(alike) if alike else by_index,
    )
