"""Methods compared on one photo: which map does the model's own behaviour support here?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vitviz.heatmap import Heatmap
from vitviz.measures.curves import Change, Curve, deletion, insertion, quick_curve
from vitviz.methods.explain import METHODS, explain
from vitviz.methods.target import Target
from vitviz.progress import Progress, part_of
from vitviz.recording.recording import Recording

__all__ = [
    "CHANGES",
    "FINE",
    "QUICK",
    "Measured",
    "combined",
    "curves_of",
    "maps_of",
    "mean_curve",
    "measure",
    "ranked",
    "supported",
    "too_close",
]

CHANGES: tuple[Change, ...] = ("deletion", "insertion")
SEEDS = 5  # random maps
QUICK = 0.02  # tolerance of quick curves, see `quick_curve`
CLOSE = 0.03  # difference of two quick scores from which on both are measured more finely
FINE = 0.005  # tolerance of their curves
DEVIATIONS = 2.0  # of random maps' scores, to be called better than random


@dataclass(frozen=True, eq=False)
class Measured:
    """One method on one photo.

    Attributes:
        method: an id in `METHODS`.
        heat: its map; of random maps the first.
        deletion, insertion: its curves; of random maps the mean.
        deviation: sample standard deviation of the score over random maps; 0 for other methods.
    """

    method: str
    heat: Heatmap
    deletion: Curve
    insertion: Curve
    deviation: float = 0.0

    def curve(self, change: Change) -> Curve:
        """Its curve of a kind."""
        return self.deletion if change == "deletion" else self.insertion

    @property
    def score(self) -> float:
        """Area under insertion minus area under deletion, -1 to 1; higher is better."""
        return self.insertion.area - self.deletion.area


def measure(
    rec: Recording,
    method: str,
    target: Target | None = None,
    *,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Measured:
    """A method's map with its default options, and both curves of the class.

    Args:
        rec: from `record`.
        method: an id in `METHODS`. Of random maps several are measured.
        target: class index or name; None is the top prediction.
        tolerance: of quick curves; None for those of `deletion` and `insertion`.
        progress: called with the finished share; whatever it raises ends the computation.

    Raises:
        MethodError: if the method does not apply to the model, or there is no such class.
    """
    maps = maps_of(rec, method, target, progress=part_of(progress, 0, 1, 3))
    removed, revealed = (
        curves_of(rec, maps, change, target, tolerance, part_of(progress, number, 1, 3))
        for number, change in enumerate(CHANGES, start=1)
    )
    return combined(method, maps, removed, revealed)


def maps_of(
    rec: Recording,
    method: str,
    target: Target | None = None,
    *,
    progress: Progress | None = None,
) -> list[Heatmap]:
    """What `measure` measures: the method's map, or several random ones."""
    seeds: Sequence[dict[str, Any]] = (
        [{"seed": seed} for seed in range(SEEDS)] if METHODS[method].baseline else [{}]
    )
    chosen = target if METHODS[method].class_specific else None
    return [
        explain(
            rec,
            method,
            target=chosen,
            progress=part_of(progress, number, 1, len(seeds)),
            **options,
        ).on_grid(rec.grid)
        for number, options in enumerate(seeds)
    ]


def curves_of(
    rec: Recording,
    maps: Sequence[Heatmap],
    change: Change,
    target: Target | None = None,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> list[Curve]:
    """One kind of curve of each map; where the mean of several counts, their errors cancel out, and
    the tolerance of each is larger by the root of their number."""
    parts = [part_of(progress, number, 1, len(maps)) for number in range(len(maps))]
    if tolerance is None:
        curve = deletion if change == "deletion" else insertion
        return [curve(rec, m, target, progress=p) for m, p in zip(maps, parts, strict=True)]
    each = tolerance * len(maps) ** 0.5
    return [
        quick_curve(rec, heat, change, target, tolerance=each, progress=part)
        for heat, part in zip(maps, parts, strict=True)
    ]


def combined(
    method: str, maps: Sequence[Heatmap], removed: Sequence[Curve], revealed: Sequence[Curve]
) -> Measured:
    """What was measured of a method's maps in one."""
    scores = [after.area - before.area for before, after in zip(removed, revealed, strict=True)]
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return Measured(method, maps[0], mean_curve(removed), mean_curve(revealed), deviation)


def ranked(measured: Iterable[Measured]) -> list[Measured]:
    """The best score first; random maps where theirs belongs."""
    return sorted(measured, key=lambda m: m.score, reverse=True)


def too_close(measured: Iterable[Measured]) -> list[str]:
    """Methods whose quick scores lie so close to a neighbour's that their ranks are not certain:
    their curves need more points, those of random maps do not."""
    pairs = [(a, b) for a, b in pairwise(ranked(measured)) if a.score - b.score < CLOSE]
    close = dict.fromkeys(m.method for pair in pairs for m in pair)
    return [method for method in close if not METHODS[method].baseline]


def supported(best: Measured, baseline: Measured) -> bool:
    """Whether a method's score is more than two standard deviations above random maps'."""
    return best.score > baseline.score + DEVIATIONS * baseline.deviation


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean at every share at which one was measured; between its points a curve is straight."""
    shares = np.unique(np.concatenate([curve.shares for curve in curves]))
    values = [np.interp(shares, curve.shares, curve.values) for curve in curves]
    return Curve(shares, np.mean(values, axis=0))
