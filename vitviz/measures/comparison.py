"""Methods compared on one photo: which map does the model's own behaviour support here?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitviz.heatmap import Heatmap
from vitviz.measures.curves import Curve, deletion, insertion
from vitviz.methods.explain import METHODS, explain
from vitviz.methods.target import ClassName
from vitviz.progress import Progress
from vitviz.recording.recording import Recording

__all__ = ["Measured", "measure", "ranked", "supported"]

STEPS = 16
SEEDS = 5  # random maps
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

    @property
    def score(self) -> float:
        """Area under insertion minus area under deletion, -1 to 1; higher is better."""
        return self.insertion.area - self.deletion.area


def measure(
    rec: Recording,
    method: str,
    target: ClassName | None = None,
    *,
    progress: Progress | None = None,
) -> Measured:
    """A method's map with its default options, and both curves of the class.

    Args:
        rec: from `record`.
        method: an id in `METHODS`. Of random maps several are measured.
        target: class index or name; None is the top prediction.
        progress: called with the finished share; whatever it raises ends the computation.

    Raises:
        MethodError: if the method does not apply to the model, or there is no such class.
    """
    report = progress or (lambda _: None)
    seeds: Sequence[dict[str, Any]] = (
        [{"seed": seed} for seed in range(SEEDS)] if METHODS[method].baseline else [{}]
    )
    maps, curves = [], []
    for number, options in enumerate(seeds):
        parts = [_part(report, 3 * number + i, 3 * len(seeds)) for i in range(3)]
        chosen = target if METHODS[method].class_specific else None
        heat = explain(rec, method, target=chosen, progress=parts[0], **options)
        maps.append(heat.on_grid(rec.grid))
        curves.append(
            [
                curve(rec, maps[-1], target, steps=STEPS, progress=part)
                for curve, part in zip((deletion, insertion), parts[1:], strict=True)
            ]
        )
    scores = [revealed.area - removed.area for removed, revealed in curves]
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    removed, revealed = zip(*curves, strict=True)
    return Measured(method, maps[0], _mean(removed), _mean(revealed), deviation)


def ranked(measured: Iterable[Measured]) -> list[Measured]:
    """The best score first; random maps where theirs belongs."""
    return sorted(measured, key=lambda m: m.score, reverse=True)


def supported(best: Measured, baseline: Measured) -> bool:
    """Whether a method's score is more than two standard deviations above random maps'."""
    return best.score > baseline.score + DEVIATIONS * baseline.deviation


def _part(report: Progress, number: int, parts: int) -> Progress:
    """Progress of one of several parts as progress of the whole."""
    return lambda share: report((number + share) / parts)


def _mean(curves: Sequence[Curve]) -> Curve:
    return Curve(curves[0].shares, np.mean([curve.values for curve in curves], axis=0))
