"""A class's probability while patches of the photo are hidden, or uncovered, by their relevance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import MethodError
from vitviz.heatmap import Heatmap
from vitviz.interventions.masking import mask_patches
from vitviz.measures.answers import BLUR, answers, filling_of
from vitviz.measures.ranking import measured_class, most_relevant
from vitviz.methods.target import Target
from vitviz.progress import Progress, part_of
from vitviz.recording.recording import Recording

__all__ = [
    "BLUR",
    "STEPS",
    "Change",
    "Curve",
    "check_steps",
    "deletion",
    "insertion",
    "masked_input",
    "quick_curve",
    "value_at",
]

Change = Literal["deletion", "insertion"]

STEPS = 32  # changes of a curve


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
    target: Target | None = None,
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
    target: Target | None = None,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> Curve:
    """Probability of a class while patches of a blurred photo turn sharp, the most relevant first.

    The faster it rises, the better the map: large areas are good. The blur is a Gaussian with a
    standard deviation of 4.5 % of the input's shorter side. That is twice the authors' 5 of 224
    pixels, after which large objects are still recognised and the curve says little. Arguments are
    those of `deletion`. Petsiuk, Das & Saenko 2018, arXiv 1806.07421.

    Raises:
        MethodError: as `deletion`.

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

    Examples:
        >>> masked_input(rec, heat, 0.5, "deletion").shape  # half of its patches are grey
        torch.Size([3, 224, 224])
    """
    hidden = _hidden(rec, heat, _count(heat, share), change)
    return mask_patches(rec, hidden, filling_of(rec, change))[0]


def value_at(
    rec: Recording, heat: Heatmap, share: float, change: Change, target: Target | None = None
) -> float:
    """The class's value at one point of a curve, see `masked_input`; what a curve has measured is
    not computed again.

    Raises:
        MethodError: as `deletion` and `masked_input`.
    """
    index = measured_class(rec, heat, target, change)
    return float(_values(rec, heat, _count(heat, share), change, index)[0])


def quick_curve(
    rec: Recording,
    heat: Heatmap,
    change: Change,
    target: Target | None = None,
    *,
    tolerance: float,
    progress: Progress | None = None,
) -> Curve:
    """About the curve of `deletion` or `insertion`, from fewer points: where it is flat, few.

    Five points at first. Then every stretch between two neighbours is halved over which the curve
    is not flat: where the area under it would be off by more than `tolerance` if all of its rise or
    fall were at one end. All points are points of the exact curve; only a dip between two like
    values can be missed.

    Args:
        rec: from `record`.
        heat: a map of this recording.
        change: which curve.
        target: as for `deletion`.
        tolerance: in the area between two points; of scores a share of the range of those measured.
        progress: as for `deletion`.

    Raises:
        MethodError: as `deletion`; if there is no such change.

    Examples:
        >>> curve = quick_curve(rec, heat, "deletion", tolerance=0.02)
        >>> set(curve.shares) <= set(deletion(rec, heat).shares)
        True
    """
    index = measured_class(rec, heat, target, change)
    counts = _counts(heat, STEPS)
    last = len(counts) - 1
    new = sorted({last * quarter // 4 for quarter in range(5)})
    rounds = 1 + max(0, (last + 3) // 4 - 1).bit_length()  # at most
    done, report = 0, progress or (lambda _: None)
    values: dict[int, float] = {}  # by the number of the exact curve's point
    while new:
        part = part_of(report, done, 1, rounds)
        values |= zip(new, _values(rec, heat, counts[new], change, index, part), strict=True)
        done += 1
        allowed = tolerance * (np.ptp(list(values.values())) if rec.outputs == "score" else 1)
        new = [
            (left + right) // 2
            for left, right in pairwise(sorted(values))
            if right - left > 1
            and abs(values[right] - values[left]) * (right - left) / last / 2 > allowed
        ]
    if done < rounds:
        report(1.0)
    points = sorted(values)
    return Curve(counts[points] / heat.values.size, np.array([values[point] for point in points]))


def check_steps(steps: int) -> None:
    """MethodError if a curve cannot have so many steps."""
    if steps < 1:
        raise MethodError(
            "steps_out_of_range",
            "The number of steps must be a whole number from 1, not {steps!r}.",
            steps=steps,
        )


def _curve(
    rec: Recording,
    heat: Heatmap,
    change: Change,
    target: Target | None,
    steps: int,
    progress: Progress | None,
) -> Curve:
    index = measured_class(rec, heat, target, change)
    check_steps(steps)
    counts = _counts(heat, steps)
    return Curve(counts / heat.values.size, _values(rec, heat, counts, change, index, progress))


def _counts(heat: Heatmap, steps: int) -> NDArray[np.float64]:
    """How many patches are changed at each point of a curve."""
    patches = heat.values.size
    return np.rint(np.linspace(0, patches, min(steps, patches) + 1))


def _count(heat: Heatmap, share: float) -> NDArray[np.float64]:
    """The same at one point."""
    if not 0 <= share <= 1:
        raise MethodError(
            "share_out_of_range",
            "The share of changed patches must be from 0 to 1, not {share!r}.",
            share=share,
        )
    return np.rint([share * heat.values.size])


def _values(
    rec: Recording,
    heat: Heatmap,
    counts: NDArray[np.float64],
    change: Change,
    index: int,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """The class's value after each number of changes."""
    logits = answers(rec, change, _hidden(rec, heat, counts, change), progress)
    return rec.values(logits.double())[:, index].numpy()


def _hidden(rec: Recording, heat: Heatmap, counts: NDArray[np.float64], change: Change) -> Tensor:
    """Which patches are hidden at each point of a curve."""
    changed = most_relevant(rec, heat, counts)
    if isinstance(change, str) and change == "deletion":
        return changed
    if not isinstance(change, str) or change != "insertion":
        raise MethodError(
            "no_such_change",
            "There is no change “{change}”; choose deletion or insertion.",
            change=change,
        )
    return ~changed
