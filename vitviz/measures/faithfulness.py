"""How well a map says what the model did: measured by changing the photo, or against an annotation.

The first kind needs the model alone: patches that a map calls relevant should matter to the class.
None of these numbers means much by itself; report it beside `versus_random` on the same photo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from vitviz.arguments import checked
from vitviz.errors import MethodError
from vitviz.heatmap import Heatmap
from vitviz.interventions.masking import grey, mask_patches, read_masked
from vitviz.methods.explain import BASELINE, explain
from vitviz.methods.made_from import same_recording
from vitviz.methods.target import ClassName, target_class
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

Change = Literal["deletion", "insertion"]

PERTURBED = np.arange(1, 10) / 10
"""Shares of the patches that `perturbation` removes."""

STEPS = 32  # changes of a curve
GROUPS = 10  # of patches, for SaCo
MAPS = 5  # random ones
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
def removal_order(heat: Heatmap) -> NDArray[np.intp]:
    """Indices of the patches, row by row, from most to least relevant: (patches,).

    Patches of equal value stay in row order.
    """
    return np.argsort(-heat.values, axis=None, kind="stable")


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


@checked
def perturbation(
    rec: Recording,
    heat: Heatmap,
    target: ClassName | None = None,
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
    index = _measured_class(rec, heat, target, "perturbation")
    patches = heat.values.size
    counts = np.rint(PERTURBED * patches)
    removed = _top(rec, heat, counts) if positive else ~_top(rec, heat, patches - counts)
    mean, std = (torch.as_tensor(v)[:, None, None] for v in mean_and_std(rec.vit.transform))

    kept = read_masked(rec, removed, -mean / std, _still_predicted(rec, index), progress or _silent)
    return kept.numpy()


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
    target: ClassName | None = None,
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
    index = _measured_class(rec, heat, target, "SaCo")
    patches = heat.values.size
    if type(groups) is not int or not 2 <= groups <= patches:
        raise MethodError(
            "groups_out_of_range",
            "The number of groups must be a whole number from 2 to {patches}, not {groups!r}.",
            patches=patches,
            groups=groups,
        )
    members = np.array_split(removal_order(heat), groups)
    sizes = [len(group) for group in members]
    below = _top(rec, heat, np.cumsum(sizes))
    alone = below.diff(dim=0, prepend=torch.zeros_like(below[:1]))
    salience = np.array([heat.values.flat[group].mean(dtype=np.float64) for group in members])
    grey = rec.pixels.mean(dim=(1, 2), keepdim=True)
    left = _values(rec, alone, grey, index, progress)  # the larger the drop, the smaller
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

    Examples:
        >>> mean, deviation = versus_random(rec, lambda heat: saco(rec, heat, groups=3), seeds=2)
        >>> bool(deviation >= 0)
        True
    """
    if seeds < 2:
        raise MethodError(
            "seeds_out_of_range",
            "The number of random maps must be at least 2, not {seeds}.",
            seeds=seeds,
        )
    maps = (explain(rec, BASELINE, seed=seed) for seed in range(seeds))
    results = np.array([measure(heat) for heat in maps], np.float64)
    return results.mean(axis=0), results.std(axis=0, ddof=1)


def _measured_class(rec: Recording, heat: Heatmap, target: ClassName | None, title: str) -> int:
    """The class that is asked for, by default the map's own, or else the top prediction.

    A map of one class says nothing of another: measured for that, it would seem worse than it is.
    """
    own = heat.made_from.target if heat.made_from else None
    index = target_class(rec, own if target is None else target, title)
    if heat.made_from and own not in (None, index):
        raise MethodError(
            "map_of_other_class",
            "This map explains class {own}, {label}, and cannot be measured for class {index}; "
            "explain that class, or leave the target out.",
            own=own,
            label=heat.made_from.target_label,
            index=index,
        )
    return index


def _curve(
    rec: Recording,
    heat: Heatmap,
    change: Change,
    target: ClassName | None,
    steps: int,
    progress: Progress | None,
) -> Curve:
    index = _measured_class(rec, heat, target, change)
    if type(steps) is not int or steps < 1:
        raise MethodError(
            "steps_out_of_range",
            "The number of steps must be a whole number from 1, not {steps!r}.",
            steps=steps,
        )
    patches = heat.values.size
    counts = np.rint(np.linspace(0, patches, min(steps, patches) + 1))
    hidden, filling = _changes(rec, heat, counts, change)
    return Curve(counts / patches, _values(rec, hidden, filling, index, progress))


def _changes(
    rec: Recording, heat: Heatmap, counts: NDArray[np.float64], change: Change
) -> tuple[Tensor, Tensor]:
    """Which patches are hidden at each point of a curve, and what is seen instead."""
    changed = _top(rec, heat, counts)
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


def _top(rec: Recording, heat: Heatmap, counts: NDArray[np.number]) -> Tensor:
    """The most relevant patches, as many as each count says: boolean (counts, rows, cols)."""
    if heat.values.shape != rec.grid:
        rows, cols = heat.values.shape
        raise MethodError(
            "map_of_other_grid",
            "The map has {rows} × {cols} patches and the recording {rec_rows} × "
            "{rec_cols}; measure a map on the recording that it explains.",
            rows=rows,
            cols=cols,
            rec_rows=rec.grid[0],
            rec_cols=rec.grid[1],
        )
    made = heat.made_from
    if made and made.method != BASELINE and not same_recording(rec, made):
        raise MethodError(
            "map_of_other_recording",
            "The map was made from another photo or another model than the recording; measure a "
            "map on the recording that it explains.",
        )
    rank = removal_order(heat).argsort()
    return torch.from_numpy(rank < counts[:, None]).unflatten(1, rec.grid)


def _values(
    rec: Recording, hidden: Tensor, filling: Tensor, index: int, progress: Progress | None
) -> NDArray[np.float64]:
    """Probability or score of a class under each mask."""

    def value(logits: Tensor) -> Tensor:
        return rec.values(logits.double())[:, index]

    return read_masked(rec, hidden, filling, value, progress or _silent).numpy()


def _silent(share: float) -> None:
    del share
