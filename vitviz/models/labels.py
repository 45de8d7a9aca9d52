"""Names of classes: ImageNet's, short and distinct, so that choosing a name chooses one class; and
those that the owner of a model gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
from numbers import Integral
from typing import Any

from timm.data import ImageNetInfo

from vitviz.errors import ModelError, Phrase

__all__ = ["Labels", "check_number", "imagenet_names", "label_names"]

Labels = Sequence[str] | Mapping[int, str] | Mapping[str, int]
"""Class names in order, or index → name as transformers' `id2label`, or name → index."""

# Where the first synonym is another class's too: two cranes, two maillots, a corgi and a jacket.
DISTINCT = {
    134: "crane (bird)",
    263: "Pembroke Welsh corgi",
    264: "Cardigan Welsh corgi",
    517: "crane (machine)",
    639: "tank suit",
}


@cache
def imagenet_names() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet-1k by index: the first synonym of each in WordNet."""
    info = ImageNetInfo("imagenet-1k")
    return tuple(
        DISTINCT.get(index, info.index_to_description(index).split(",")[0])
        for index in range(info.num_classes())
    )


def label_names(labels: Labels) -> tuple[str, ...]:
    """Class names by index.

    Raises:
        ModelError: if they are no sequence or mapping of names, or the indices of a mapping are not
            0, 1, 2, … each once.

    Examples:
        >>> label_names({"dog": 1, "cat": 0})
        ('cat', 'dog')
    """
    if isinstance(labels, Mapping):
        keys, values = list(labels.keys()), list(labels.values())
        named = all(isinstance(value, Integral) for value in values)  # name → index
        indices, names = (values, keys) if named else (keys, values)
        if all(map(_is_index, indices)) and all(map(_is_name, names)):
            by_index = {int(str(i)): str(name) for i, name in zip(indices, names, strict=True)}
            if sorted(by_index) == list(range(len(labels))):
                return tuple(by_index[index] for index in range(len(labels)))
    elif (
        isinstance(labels, Iterable)
        and not isinstance(labels, str | bytes | Set)
        and getattr(labels, "ndim", 1) == 1  # of an array
    ):
        names = list(labels)
        if all(map(_is_name, names)):
            return tuple(map(str, names))
    raise ModelError(
        "labels_not_understood",
        "These labels are not understood: give the names in order, or a dict from 0, 1, 2, … to "
        "the names or the other way round.",
    )


def _is_name(value: Any) -> bool:
    """Whether this can be a class's name: text, or a number that stands for it."""
    return isinstance(value, str | Integral) and not isinstance(value, bool)


def _is_index(value: Any) -> bool:
    """Whether this is a whole number; JSON has those of keys as text."""
    if isinstance(value, bool):
        return False
    return isinstance(value, Integral) or (isinstance(value, str) and value.isdecimal())


def check_number(labels: Sequence[str], classes: int, model: str) -> None:
    """ModelError if there are labels, but not one for each number that the model gives."""
    if len(labels) not in (0, classes):
        raise ModelError(
            "labels_not_outputs",
            "There are {labels} labels, and {model} gives {classes} numbers for a photo; {hint}",
            labels=len(labels),
            model=model,
            classes=classes or Phrase("no_numbers", "no"),
            hint=Phrase("one_label_each", "give one label for each, in their order.")
            if classes
            else Phrase("no_labels", "give none."),
        )
