"""What the numbers mean that a model gives for a photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from vitviz.errors import ModelError

__all__ = [
    "MEANINGS",
    "Meaning",
    "Outputs",
    "check_meaning",
    "found_outputs",
    "rows_sum_to_one",
    "written",
]

Meaning = Literal["softmax", "sigmoid", "score", "embedding"]
"""“softmax”: classes, of which one is right; “sigmoid”: labels, each of which may apply; “score”:
numbers of their own kind, such as an age; “embedding”: a vector whose numbers stand for nothing by
themselves."""

MEANINGS: tuple[Meaning, ...] = get_args(Meaning)


@dataclass(frozen=True)
class Outputs:
    """What a model's numbers mean.

    Attributes:
        meaning: one of `MEANINGS`.
        applied: whether the model itself has applied the softmax or the sigmoid already.
    """

    meaning: Meaning
    applied: bool = False

    def values(self, numbers: Tensor) -> Tensor:
        """What is shown of a model's numbers (…, classes): probabilities, or the scores as they
        are."""
        if self.applied or self.meaning in ("score", "embedding"):
            return numbers
        numbers = numbers if numbers.is_floating_point() else numbers.float()
        return numbers.softmax(dim=-1) if self.meaning == "softmax" else numbers.sigmoid()


def written(value: float, meaning: Meaning, places: int = 1) -> str:
    """One of a model's values in words: a probability in percent, a score as it is.

    Examples:
        >>> written(0.25, "sigmoid"), written(31.4, "score")
        ('25.0%', '31.4')
    """
    return f"{value:.4g}" if meaning == "score" else f"{value:.{places}%}"


def check_meaning(meaning: str | None) -> Meaning | None:
    """The meaning that the owner of a model gives; ModelError if it is none."""
    if meaning is None or (isinstance(meaning, str) and meaning in MEANINGS):
        return meaning
    raise ModelError(
        "no_such_outputs",
        "A model’s outputs cannot be {outputs!r}; choose one of {meanings}.",
        outputs=meaning,
        meanings=", ".join(MEANINGS),
    )


def found_outputs(numbers: Tensor, last: nn.Module | None, sigmoid: Tensor | None) -> Outputs:
    """What a model's numbers look like, where nobody says.

    Args:
        numbers: of a few photos, (photos, classes).
        last: the last module with weights to run: numbers behind a norm are an embedding.
        sigmoid: what the model's last sigmoid gave.
    """
    if sigmoid is not None and torch.equal(sigmoid.flatten(), numbers.flatten()):
        return Outputs("sigmoid", applied=True)
    if numbers.shape[-1] == 1:
        return Outputs("score")
    if rows_sum_to_one(numbers):
        return Outputs("softmax", applied=True)
    if last is not None and "norm" in type(last).__name__.lower():
        return Outputs("embedding")
    return Outputs("softmax")


def rows_sum_to_one(numbers: Tensor) -> bool:
    """Whether no number is negative and every row, (…, numbers), sums to 1, as far as its float
    type can tell: probabilities of classes, or a map of attention."""
    near = max(1e-3, 2 * torch.finfo(numbers.dtype).eps)
    sums = numbers.detach().float().sum(dim=-1)
    return bool((numbers >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=near)
