"""One photo of an evaluation: what is measured of it, in this process or in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vitviz.errors import MethodError, VitvizError
from vitviz.heatmap import Box, Heatmap
from vitviz.measures.annotations import Known, digest, known_of
from vitviz.measures.faithfulness import versus_random
from vitviz.measures.metrics import Metric, metrics_of
from vitviz.measures.results import Failure, Found, MeasuredPhoto, Row, Rows
from vitviz.methods.explain import BASELINE, explain
from vitviz.models.transform import transformed
from vitviz.models.vit import Vit
from vitviz.photos.load import load_image
from vitviz.progress import Progress, part_of
from vitviz.recording.record import record
from vitviz.recording.recording import Recording

__all__ = ["Plan", "measure_photo"]


@dataclass(frozen=True)
class Plan:
    """What is measured of each photo.

    Attributes:
        folder: where the photos are.
        methods, metrics: ids.
        steps: of curves.
        seeds: number of random maps.
        boxes, masks: see `evaluate`.
        bounded: whether each value has to have bounds.
    """

    folder: Path
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    steps: int
    seeds: int
    boxes: Mapping[str, Box] | None = None
    masks: Path | None = None
    bounded: bool = False

    @property
    def measures(self) -> dict[str, Metric]:
        """The metrics with so many steps, by their ids."""
        offered = metrics_of(self.steps)
        return {name: offered[name] for name in self.metrics}

    @property
    def passes(self) -> int:
        """Forward passes that one map takes at most, with its own."""
        return 1 + sum(metric.passes for metric in self.measures.values())

    def maps(self, method: str) -> int:
        """How many maps of a method are measured."""
        return self.seeds if method == BASELINE else 1


class _Parts:
    """Parts of a photo's work, one after the other, as progress of the whole."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._begun = progress, total, 0

    def next(self, passes: int) -> Progress:
        """Progress of the next part, of so many forward passes."""
        self._begun += passes
        return part_of(self._progress, self._begun - passes, passes, self._total)


def measure_photo(
    vit: Vit, plan: Plan, name: str, known: Rows, progress: Progress | None = None
) -> Iterator[Found]:
    """Each method's row, at once: first those that were measured before, as they are.

    Args:
        vit: the model.
        plan: what is measured.
        name: the photo's path below the folder.
        known: what was measured of it before, on whatever it held then.
        progress: of the photo, see `evaluate`.

    Raises:
        VitvizError: if values have to have bounds, and the model gives scores.
    """
    try:
        photo = load_image(plan.folder / name)
        annotated = known_of(name, photo, plan.metrics, plan.boxes, plan.masks)
        key = name, digest(photo, transformed(vit.transform, photo), annotated)
    except VitvizError as error:
        yield Failure(name, "", error)
        return
    rows = known.get(key[1], {})
    yield from (Row(key, method, rows[method]) for method in plan.methods if method in rows)
    missing = [method for method in plan.methods if method not in rows]
    if not missing:
        return
    try:
        rec = record(vit, photo)
    except VitvizError as error:
        yield Failure(name, "", error)
        return
    if plan.bounded and rec.outputs == "score":
        raise VitvizError(
            "scores_without_bounds",
            "{model} gives scores, which have no bounds, and no interval of them would stay true "
            "after an early stop; leave the width out.",
            model=vit.name,
        )
    parts = _Parts(progress, plan.passes * sum(map(plan.maps, missing)))
    for method in missing:
        yield _measured(rec, method, plan, key, annotated, parts)


def _measured(
    rec: Recording, method: str, plan: Plan, key: MeasuredPhoto, known: Known, parts: _Parts
) -> Found:
    """Every metric of one method's map; of random maps the mean of several."""

    def measure(heat: Heatmap) -> list[float]:
        return [
            float(metric.measure(rec, heat, known[metric.needs], parts.next(metric.passes)))
            for metric in plan.measures.values()
        ]

    try:
        if method == BASELINE:
            values = versus_random(rec, measure, plan.seeds)[0].tolist()
        else:
            heat = explain(rec, method, progress=parts.next(1))
            values = measure(heat.on_grid(rec.grid))
    except MethodError as error:
        return Failure(key[0], method, error)
    return Row(key, method, dict(zip(plan.metrics, values, strict=True)))
