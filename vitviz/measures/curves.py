"""A class's probability while patches of the photo are hidden, or uncovered, by their relevance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from vitviz.arguments import checked
from vitviz.errors import MethodError
from vitviz.heatmap import Heatmap
from vitviz.interventions.masking import grey, mask_patches
from vitviz.measures.ranking import class_values, measured_class, most_relevant
from vitviz.methods.target import ClassName
from vitviz.progress import Progress
from vitviz.recording.recording import Recording

__all__ = ["BLUR", "STEPS", "Change", "Curve", "deletion", "insertion", "masked_input"]

Change = Literal["deletion", "insertion"]

STEPS = 32  # changes of a curve
BLUR = 0.045  # standard deviation as a share of the input's shorter side: 10 of 224 px


@dataclass(frozen=True, eq=False)
class Curve:
    """A class's probability while the photo changes; of a regression its score.

    Attributes:
        shares: share of the patches changed, rising from 0 to 1.
        values: of the class at each, see `Recording.values`.
    """

    shares: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve by the trapezoid rule, 0 to 1; of scores in their unit."""
        return float(np.trapezoid(self.values, self.shares))


@checked
def deletion(
    rec: Recording,
    heat: Heatmap,
    target: ClassName | None = None,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> Curve:
    """Probability of a class while patches turn grey, the most relevant first.

    The faster it falls, the better the map: small areas are good. Grey is the model's mean colour.
    Petsiuk, Das & Saenko 2018, arXiv 1806.07421.

    Args:
        rec: from `record`.
        heat: a map of this recording; only the order of its values matters.
        target: class index; None is the class that the map explains, and for a map that is the
            same for every class the top prediction.
        steps: number of changes, as equal as whole patches allow; at most one a patch.
        progress: called with the finished share after every few forward passes; whatever it
            raises ends the computation and is passed on.

    Raises:
        MethodError: if the map is not of this recording or explains another class, there is no such
            class, the model has no classifier or is not in float32, or `steps` is not a whole
            number from 1. A map of another recording or class is measured all the same without
            its `made_from`: `dataclasses.replace(heat, made_from=None)`.

    Examples:
        >>> curve = deletion(rec, heat, steps=2)
        >>> curve.shares.tolist()
        [0.0, 0.5, 1.0]
        >>> 0 < curve.area < 1
        True
    """
    return _curve(rec, heat, "deletion", target, steps, progress)


@checked
def insertion(
    rec: Recording,
    heat: Heatmap,
    target: ClassName | None = None,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> Curve:
    """Probability of a class while patches of a blurred photo turn sharp, the most relevant first.

    The faster it rises, the better the map: large areas are good. The blur is a Gaussian with a
    standard deviation of 4.5 % of the input's shorter side. That is twice the authors' 5 of 224
    pixels, after which large objects are still recognised and the curve says little. Arguments and
    errors are those of `deletion`. Petsiuk, Das & Saenko 2018, arXiv 1806.07421.

    Examples:
        >>> curve = insertion(rec, heat, steps=2)
        >>> len(curve.values)
        3
    """
    return _curve(rec, heat, "insertion", target, steps, progress)


@checked
def masked_input(rec: Recording, heat: Heatmap, share: float, change: Change) -> Tensor:
    """What the model is given at one point of a curve: normalised, (3, height, width).

    Args:
        rec: from `record`.
        heat: a map of this recording.
        share: of the patches that are changed, 0 to 1, rounded to whole patches.
        change: which curve: “deletion” or “insertion”.

    Raises:
        MethodError: if the map is not of this recording, the share is out of range, or there is no
            such change.
    """
    if not 0 <= share <= 1:
        raise MethodError(
            "share_out_of_range",
            "The share of changed patches must be from 0 to 1, not {share!r}.",
            share=share,
        )
    counts = np.rint([share * heat.values.size])
    return mask_patches(rec, *_changes(rec, heat, counts, change))[0]


def _curve(
    rec: Recording,
    heat: Heatmap,
    change: Change,
    target: ClassName | None,
    steps: int,
    progress: Progress | None,
) -> Curve:
    index = measured_class(rec, heat, target, change)
    if steps < 1:
        raise MethodError(
            "steps_out_of_range",
            "The number of steps must be a whole number from 1, not {steps!r}.",
            steps=steps,
        )
    patches = heat.values.size
    counts = np.rint(np.linspace(0, patches, min(steps, patches) + 1))
    hidden, filling = _changes(rec, heat, counts, change)
    return Curve(counts / patches, class_values(rec, hidden, filling, index, progress))


def _changes(
    rec: Recording, heat: Heatmap, counts: NDArray[np.float64], change: Change
) -> tuple[Tensor, Tensor]:
    """Which patches are hidden at each point of a curve, and what is seen instead."""
    changed = most_relevant(rec, heat, counts)
    if isinstance(change, str) and change == "deletion":
        return changed, grey(rec)
    if not isinstance(change, str) or change != "insertion":
        raise MethodError(
            "no_such_change",
            "There is no change “{change}”; choose deletion or insertion.",
            change=change,
        )
    deviation = BLUR * min(rec.pixels.shape[-2:])
    size = 2 * round(2.5 * deviation) + 1
    return ~changed, gaussian_blur(rec.pixels, [size, size], [deviation, deviation])
