"""How well a map says what the model did: measured by changing the photo, or against an annotation.

The first kind needs the model alone: patches that a map calls relevant should matter to the class.
None of these numbers means much by itself; report it beside `versus_random` on the same photo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import FAILURES, MethodError
from vitviz.heatmap import Heatmap
from vitviz.interventions.masking import read_masked
from vitviz.measures.curves import (
    BLUR,
    STEPS,
    Change,
    Curve,
    deletion,
    insertion,
    masked_input,
)
from vitviz.measures.ranking import (
    class_values,
    measured_class,
    most_relevant,
    removal_order,
)
from vitviz.methods.explain import BASELINE, explain
from vitviz.methods.target import Target
from vitviz.models.transform import mean_and_std
from vitviz.progress import Progress
from vitviz.recording.recording import Recording

__all__ = [
    "BLUR",
    "GROUPS",
    "MAPS",
    "PERTURBED",
    "STEPS",
    "Change",
    "Curve",
    "deletion",
    "insertion",
    "masked_input",
    "perturbation",
    "removal_order",
    "saco",
    "versus_random",
]

PERTURBED = np.arange(1, 10) / 10
"""Shares of the patches that `perturbation` removes."""

GROUPS = 10  # of patches, for SaCo
MAPS = 5  # random ones


@checked
def perturbation(
    rec: Recording,
    heat: Heatmap,
    target: Target | None = None,
    *,
    positive: bool,
    progress: Progress | None = None,
) -> NDArray[np.bool_]:
    """Whether the class is still the top prediction without 10, 20, … 90 % of the patches: (9,). Of
    a label that others do not exclude: whether it still applies, or still does not (from 50 %).

    Patches are removed from the most relevant down if `positive`, otherwise from the least
    relevant up; removed is black before normalisation. The mean is the photo's accuracy, and the
    mean over photos a method's: low is good if `positive`, high if not. Chefer, Gur & Wolf 2021,
    arXiv 2012.09838, where single pixels of the enlarged map are removed.

    Args:
        rec: from `record`.
        heat: a map of this recording; only the order of its values matters.
        target: as for `deletion`.
        positive: the order of removal.
        progress: as for `deletion`.

    Raises:
        MethodError: as `deletion`; if the model gives scores, among which there is no prediction.

    Examples:
        >>> perturbation(rec, heat, positive=True).shape
        (9,)
    """
    index = measured_class(rec, heat, target, "perturbation")
    patches = heat.values.size
    counts = np.rint(PERTURBED * patches)
    removed = (
        most_relevant(rec, heat, counts)
        if positive
        else ~most_relevant(rec, heat, patches - counts)
    )
    mean, std = (
        torch.as_tensor(v, dtype=rec.pixels.dtype)[:, None, None]
        for v in mean_and_std(rec.vit.transform)
    )
    black, predicted = -mean / std, _still_predicted(rec, index)
    return read_masked(rec, removed, black, predicted, progress).numpy()


def _still_predicted(rec: Recording, index: int) -> Callable[[Tensor], Tensor]:
    """Whether logits, (masks, classes), predict the class as before: (masks,)."""
    if rec.outputs == "score":
        raise MethodError(
            "scores_not_predicted",
            "{model} gives scores, and perturbation counts predictions; use deletion, insertion "
            "or saco.",
            model=rec.vit.name,
        )
    if rec.outputs == "sigmoid":
        applied = rec.values(rec.logits)[index] >= 0.5
        return lambda logits: (rec.values(logits)[:, index] >= 0.5) == applied
    return lambda logits: logits.argmax(dim=-1) == index


@checked
def saco(
    rec: Recording,
    heat: Heatmap,
    target: Target | None = None,
    *,
    groups: int = GROUPS,
    progress: Progress | None = None,
) -> float:
    """Salience-guided faithfulness coefficient, -1 to 1; 1 is best.

    Patches are split into groups by descending value. For every two groups, the one with the
    larger salience s should lower the class's probability at least as much when it alone is
    replaced by the photo's mean colour: F = Σ ±(s_i - s_j) / Σ |s_i - s_j| over i < j, plus where
    it does. s is a group's mean, which gives the paper's F, stated with sums, when groups are
    equally large, and stays fair when the patches cannot be divided evenly. 0 for a constant map,
    which says nothing. Wu et al. 2024, arXiv 2404.01415.

    Args:
        rec: from `record`.
        heat: a map of this recording.
        target: as for `deletion`.
        groups: number of groups.
        progress: as for `deletion`.

    Raises:
        MethodError: as `deletion`; if `groups` is not from 2 to the number of patches.

    Examples:
        >>> -1 <= saco(rec, heat, groups=3) <= 1
        True
    """
    index = measured_class(rec, heat, target, "SaCo")
    patches = heat.values.size
    if not 2 <= groups <= patches:
        raise MethodError(
            "groups_out_of_range",
            "The number of groups must be a whole number from 2 to {patches}, not {groups!r}.",
            patches=patches,
            groups=groups,
        )
    members = np.array_split(removal_order(heat), groups)
    sizes = [len(group) for group in members]
    below = most_relevant(rec, heat, np.cumsum(sizes))
    alone = below.diff(dim=0, prepend=torch.zeros_like(below[:1]))
    salience = np.array([heat.values.flat[group].mean(dtype=np.float64) for group in members])
    grey = rec.pixels.mean(dim=(1, 2), keepdim=True)
    left = class_values(rec, alone, grey, index, progress)  # the larger the drop, the smaller
    i, j = np.triu_indices(groups, 1)
    weights = salience[i] - salience[j]
    total = weights.sum()
    return float((weights * np.where(left[i] <= left[j], 1, -1)).sum() / total) if total else 0.0


@checked
def versus_random(
    rec: Recording, measure: Callable[[Heatmap], ArrayLike], seeds: int = MAPS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sample standard deviation of a measure over random maps of the same photo.

    Args:
        rec: from `record`.
        measure: random map → a number or an array, such as
            `lambda heat: deletion(rec, heat, target).area`, or `.values` for whole curves.
        seeds: number of random maps: `explain(rec, "random", seed=…)` from 0 on; at least 2.

    Returns:
        Both of the measure's shape.

    Raises:
        MethodError: if there are fewer than two maps, or the measure gives no numbers.

    Examples:
        >>> mean, deviation = versus_random(rec, lambda heat: saco(rec, heat, groups=3), seeds=2)
        >>> bool(deviation >= 0)
        True
    """
    check_seeds(seeds)
    maps = (explain(rec, BASELINE, seed=seed) for seed in range(seeds))
    results = _as_numbers([measure(heat) for heat in maps])
    return results.mean(axis=0), results.std(axis=0, ddof=1)


def check_seeds(seeds: int) -> None:
    """MethodError if so few random maps say nothing of how they differ."""
    if seeds < 2:
        raise MethodError(
            "seeds_out_of_range",
            "The number of random maps must be at least 2, not {seeds}.",
            seeds=seeds,
        )


def _as_numbers(measured: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """What a measure gave for each map, (maps, …)."""
    with suppress(*FAILURES):  # arrays of several shapes, or nothing that NumPy reads
        found = np.asarray(measured)
        if found.dtype.kind in "fiub":
            return found.astype(np.float64)
    raise MethodError(
        "measure_no_numbers",
        "The measure has to give a number, or an array of numbers of one shape, for every map, not "
        "{given}.",
        given=type(measured[0]).__name__,
    )
