"""The measures of an evaluation, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vitviz.heatmap import Heatmap
from vitviz.measures.curves import BLUR, STEPS, deletion, insertion
from vitviz.measures.faithfulness import GROUPS, PERTURBED, perturbation, saco
from vitviz.measures.localisation import energy_in_box, pointing_game, segmentation
from vitviz.recording.recording import Recording

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a map is.

    Attributes:
        title: its name in tables.
        better: whether low or high values are good.
        measure: (recording, map, the photo's box or mask if it needs one) → the number.
        needs: what must be known of the photo.
        settings: the numbers that it was measured with: values of other settings are not mixed.
        of_scores: whether it can be measured where a model gives scores, no predictions.
    """

    title: str
    better: Literal["low", "high"]
    measure: Callable[[Recording, Heatmap, Any], float]
    needs: Literal["box", "mask"] | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    of_scores: bool = True


REMOVED = {"removed": PERTURBED.tolist()}


METRICS = {
    "deletion": Metric(
        "Deletion",
        "low",
        lambda rec, heat, _: deletion(rec, heat).area,
        settings={"steps": STEPS},
    ),
    "insertion": Metric(
        "Insertion",
        "high",
        lambda rec, heat, _: insertion(rec, heat).area,
        settings={"steps": STEPS, "blur": BLUR},
    ),
    "positive": Metric(
        "Positive perturbation",
        "low",
        lambda rec, heat, _: float(perturbation(rec, heat, positive=True).mean()),
        settings=REMOVED,
        of_scores=False,
    ),
    "negative": Metric(
        "Negative perturbation",
        "high",
        lambda rec, heat, _: float(perturbation(rec, heat, positive=False).mean()),
        settings=REMOVED,
        of_scores=False,
    ),
    "saco": Metric(
        "SaCo", "high", lambda rec, heat, _: saco(rec, heat), settings={"groups": GROUPS}
    ),
    "pointing": Metric(
        "Pointing game", "high", lambda _, heat, box: pointing_game(heat, box), "box"
    ),
    "energy": Metric(
        "Energy in the box", "high", lambda _, heat, box: energy_in_box(heat, box), "box"
    ),
    "accuracy": Metric(
        "Pixel accuracy",
        "high",
        lambda _, heat, mask: segmentation(heat, mask).pixel_accuracy,
        "mask",
    ),
    "precision": Metric(
        "Average precision",
        "high",
        lambda _, heat, mask: segmentation(heat, mask).average_precision,
        "mask",
    ),
    "iou": Metric(
        "Mean IoU", "high", lambda _, heat, mask: segmentation(heat, mask).mean_iou, "mask"
    ),
}
