"""The measures of an evaluation, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vitviz.heatmap import Heatmap
from vitviz.measures.curves import BLUR, STEPS, deletion, insertion
from vitviz.measures.faithfulness import GROUPS, PERTURBED, perturbation, saco
from vitviz.measures.localisation import energy_in_box, pointing_game, segmentation
from vitviz.progress import Progress
from vitviz.recording.recording import Recording

__all__ = ["METRICS", "Metric", "metrics_of"]

Measure = Callable[[Recording, Heatmap, Any, Progress | None], float]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a map is.

    Attributes:
        title: its name in tables.
        better: whether low or high values are good.
        measure: (recording, map, the photo's box or mask if it needs one, progress) → the number.
        passes: how many forward passes that takes at most.
        needs: what must be known of the photo.
        settings: the numbers that it was measured with: values of other settings are not mixed.
        of_scores: whether it can be measured where a model gives scores, no predictions.
        bounds: the smallest and the largest that it can be, unless a model gives scores.
    """

    title: str
    better: Literal["low", "high"]
    measure: Measure
    passes: int = 0
    needs: Literal["box", "mask"] | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    of_scores: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)


REMOVED = {"removed": PERTURBED.tolist()}


def metrics_of(steps: int = STEPS) -> dict[str, Metric]:
    """Every measure by its id, its curves with so many steps."""
    return {
        "deletion": Metric(
            "Deletion",
            "low",
            lambda rec, heat, _, progress: deletion(rec, heat, steps=steps, progress=progress).area,
            steps + 1,
            settings={"steps": steps},
        ),
        "insertion": Metric(
            "Insertion",
            "high",
            lambda rec, heat, _, progress: (
                insertion(rec, heat, steps=steps, progress=progress).area
            ),
            steps + 1,
            settings={"steps": steps, "blur": BLUR},
        ),
        "positive": _perturbation("Positive perturbation", "low", positive=True),
        "negative": _perturbation("Negative perturbation", "high", positive=False),
        "saco": Metric(
            "SaCo",
            "high",
            lambda rec, heat, _, progress: saco(rec, heat, progress=progress),
            GROUPS,
            settings={"groups": GROUPS},
            bounds=(-1.0, 1.0),
        ),
        **OF_ANNOTATIONS,
    }


def _perturbation(title: str, better: Literal["low", "high"], *, positive: bool) -> Metric:
    def measure(rec: Recording, heat: Heatmap, _: Any, progress: Progress | None) -> float:
        return float(perturbation(rec, heat, positive=positive, progress=progress).mean())

    return Metric(title, better, measure, len(PERTURBED), settings=REMOVED, of_scores=False)


OF_ANNOTATIONS = {
    "pointing": Metric(
        "Pointing game",
        "high",
        lambda _rec, heat, box, _progress: pointing_game(heat, box),
        needs="box",
    ),
    "energy": Metric(
        "Energy in the box",
        "high",
        lambda _rec, heat, box, _progress: energy_in_box(heat, box),
        needs="box",
    ),
    "accuracy": Metric(
        "Pixel accuracy",
        "high",
        lambda _rec, heat, mask, _progress: segmentation(heat, mask).pixel_accuracy,
        needs="mask",
    ),
    "precision": Metric(
        "Average precision",
        "high",
        lambda _rec, heat, mask, _progress: segmentation(heat, mask).average_precision,
        needs="mask",
    ),
    "iou": Metric(
        "Mean IoU",
        "high",
        lambda _rec, heat, mask, _progress: segmentation(heat, mask).mean_iou,
        needs="mask",
    ),
}

METRICS = metrics_of()
"""Every measure by its id, as it is by default."""
