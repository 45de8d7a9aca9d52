"""Methods measured over many photos: which maps does the model's own behaviour support?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.arguments import checked
from vitviz.errors import MethodError, VitvizError
from vitviz.heatmap import Box, Heatmap
from vitviz.measures.annotations import Known, digest, known_of
from vitviz.measures.faithfulness import versus_random
from vitviz.measures.metrics import METRICS, Metric
from vitviz.measures.results import RESAMPLES, Evaluation, MeasuredPhoto, Results, Summary
from vitviz.methods.explain import BASELINE, METHODS, explain
from vitviz.models.transform import transformed
from vitviz.models.weights import weights_hash
from vitviz.photos.load import SUFFIXES, load_image
from vitviz.progress import Progress
from vitviz.recording.record import record
from vitviz.recording.recording import Recording
from vitviz.zoo.load import Vit

__all__ = ["evaluate"]


@checked
def evaluate(
    vit: Vit,
    folder: str | Path,
    *,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    boxes: Mapping[str, Box] | None = None,
    masks: str | Path | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure methods on every photo of a folder, each map explaining the photo's top class.

    Random maps, the mean of five a photo, are measured along with them. An interrupted run goes on
    where it stopped if it is given the same `out`: rows of the same weights, options, photos and
    annotations are taken up, and everything else is measured anew.

    Args:
        vit: the model.
        folder: photos, also in sub-folders.
        methods: ids in `METHODS`; all of them by default.
        metrics: ids in `METRICS`; by default all that need no more than is given, without those
            that count predictions if the model gives scores.
        boxes: where each photo's object is, by its path below the folder; see `read_boxes`.
        masks: a folder with a picture for each photo, of the photo's own size and path but for its
            ending `.png`, that is not black where the object is.
        limit: measure no more photos than this, the first by name.
        out: a CSV file that gets a row for each photo and method as soon as it is measured; the
            summaries go to the same name with the ending `.json`.
        progress: called with the finished share after every photo; whatever it raises ends the run.

    Raises:
        VitvizError: if the folder has no photos, `limit` is less than 1, a method or metric is
            unknown or lacks what it needs, or `out` cannot be written or is of another model, of
            other metrics, or of an earlier version, which did not note the weights.

    Examples:
        >>> found = evaluate(vit, "photos", methods=["attention"], metrics=["saco"], limit=1)
        >>> found.errors
        []
    """
    methods = _chosen(methods, METHODS, "method")
    measurable = _measurable(boxes, masks)
    if metrics is None and vit.outputs == "score":
        metrics = [name for name, metric in measurable.items() if metric.of_scores]
    metrics = _chosen(metrics, measurable, "metric", METRICS)
    if BASELINE not in methods:
        methods.append(BASELINE)
    photos = _photos(Path(folder), limit)
    file = None if out is None else Path(out)
    results = Results(vit.name, weights_hash(vit.module), metrics, file)
    measured: list[MeasuredPhoto] = []
    for number, name in enumerate(photos, start=1):
        try:
            photo = load_image(Path(folder, name))
            known = known_of(name, photo, metrics, boxes, masks)
            pixels = transformed(vit.transform, photo)
        except VitvizError as error:
            results.fail(name, "", error)
        else:
            measured.append((name, digest(photo, pixels, known)))
            _measure_photo(vit, photo, known, measured[-1], methods, results)
        if progress:
            progress(number / len(photos))
    summaries = list(_summaries(results.rows, methods, metrics, measured))
    return results.finish(summaries)


def _measure_photo(
    vit: Vit,
    photo: Image.Image,
    known: Known,
    key: MeasuredPhoto,
    methods: Sequence[str],
    results: Results,
) -> None:
    """Add what is missing of one photo; what cannot be measured is an error, and the rest is."""
    missing = [method for method in methods if (key, method) not in results.rows]
    if not missing:
        return
    try:
        rec = record(vit, photo)
    except VitvizError as error:
        results.fail(key[0], "", error)
        return
    for method in missing:
        try:
            results.add(key, method, _measure(rec, method, results.metrics, known))
        except MethodError as error:
            results.fail(key[0], method, error)


def _chosen(
    ids: Sequence[str] | None,
    offered: Mapping[str, Any],
    kind: str,
    known: Mapping[str, Metric] = MappingProxyType({}),
) -> list[str]:
    """The ids asked for, all that are offered by default."""
    chosen = [] if ids is None else list(ids)
    for name in chosen:
        if name in offered:
            continue
        if name in known:
            raise VitvizError(
                "annotation_needed",
                "The {kind} “{name}” needs a {needed} for each photo.",
                kind=kind,
                name=name,
                needed=known[name].needs,
            )
        raise VitvizError(
            "not_offered",
            "There is no {kind} “{name}”; choose from {offered}.",
            kind=kind,
            name=name,
            offered=", ".join(offered),
        )
    return list(dict.fromkeys(chosen or offered))


def _measurable(boxes: Mapping[str, Box] | None, masks: str | Path | None) -> dict[str, Metric]:
    """The metrics that need no more than is given."""
    given = {None, None if boxes is None else "box", None if masks is None else "mask"}
    return {name: metric for name, metric in METRICS.items() if metric.needs in given}


def _photos(folder: Path, limit: int | None) -> list[str]:
    """Paths of the photos below the folder, by name."""
    if limit is not None and limit < 1:
        raise VitvizError(
            "limit_too_low", "The limit must be at least one photo, not {limit}.", limit=limit
        )
    try:
        found = [file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES]
    except (OSError, ValueError):  # no path at all
        found = []
    if not found:
        raise VitvizError(
            "no_photos", "There is no photo in {folder}; give a folder with photos.", folder=folder
        )
    return sorted(file.relative_to(folder).as_posix() for file in found)[:limit]


def _measure(rec: Recording, method: str, metrics: Sequence[str], known: Known) -> dict[str, float]:
    """Every metric of one method's map; of random maps the mean of several."""

    def measure(heat: Heatmap) -> list[float]:
        chosen = [METRICS[metric] for metric in metrics]
        return [float(m.measure(rec, heat, known[m.needs])) for m in chosen]

    values = (
        versus_random(rec, measure)[0].tolist()
        if method == BASELINE
        else measure(explain(rec, method).on_grid(rec.grid))
    )
    return dict(zip(metrics, values, strict=True))


def _summaries(
    rows: Mapping[tuple[MeasuredPhoto, str], Mapping[str, float]],
    methods: Sequence[str],
    metrics: Sequence[str],
    photos: Sequence[MeasuredPhoto],
) -> Iterator[Summary]:
    """Means over those photos on which the method and random maps were measured."""
    for method in methods:
        common = [p for p in photos if (p, method) in rows and (p, BASELINE) in rows]
        for metric in metrics if common else ():
            values = np.array([rows[photo, method][metric] for photo in common])
            gains = values - [rows[photo, BASELINE][metric] for photo in common]
            gains *= 1 if METRICS[metric].better == "high" else -1
            mean, gain = float(values.mean()), float(gains.mean())
            intervals = _interval(values), _interval(gains)
            yield Summary(method, metric, len(common), mean, intervals[0], gain, intervals[1])


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean; the photos are drawn with replacement."""
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
