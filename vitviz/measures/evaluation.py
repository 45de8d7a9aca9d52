"""Methods measured over many photos: which maps does the model's own behaviour support?"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vitviz.arguments import checked
from vitviz.errors import VitvizError
from vitviz.heatmap import Box
from vitviz.measures.cluster import measured_by_ray
from vitviz.measures.curves import STEPS, check_steps
from vitviz.measures.faithfulness import MAPS, check_seeds
from vitviz.measures.intervals import bootstrap_interval, lasting_interval
from vitviz.measures.measuring import Plan, measure_photo
from vitviz.measures.metrics import METRICS, Metric
from vitviz.measures.results import (
    Evaluation,
    Found,
    MeasuredPhoto,
    Results,
    Row,
    Rows,
    Summary,
    difference,
)
from vitviz.methods.explain import BASELINE, METHODS
from vitviz.models.weights import weights_hash
from vitviz.photos.load import SUFFIXES
from vitviz.progress import Progress, part_of
from vitviz.zoo.load import Vit

__all__ = ["ENGINES", "evaluate"]

ENGINES = ("process", "ray")
LOOK = 10  # photos from one look at the intervals to the next


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
    steps: int = STEPS,
    seeds: int = MAPS,
    width: float | None = None,
    engine: str = "process",
    workers: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure methods on every photo of a folder, each map explaining the photo's top class.

    Random maps, the mean of several a photo, are measured along with them. An interrupted run goes
    on where it stopped if it is given the same `out`: rows of the same weights, options, settings,
    photos and annotations are taken up, and everything else is measured anew.

    With `width` the run ends as soon as every metric's mean is known well enough. Photos are then
    measured in a random order, always the same, since a folder may be sorted by class; every tenth
    photo the intervals are looked at, and they are such as stay true after that, see
    `lasting_interval`: a bootstrap interval that one has waited for misses the mean too often.

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
        steps: of the curves of deletion and insertion, see `deletion`: what a run costs is about
            proportional to them.
        seeds: number of random maps, at least 2; every photo's are those of the seeds from 0 on.
        width: end early, as soon as the 95 % interval of every mean is at most this wide, in the
            metric's own unit.
        engine: “process”, this one, or “ray”, processes of a Ray cluster, each with a copy of the
            model, that have the same folders under the same paths: the one that RAY_ADDRESS names,
            or one on this machine alone. The results are the same.
        workers: number of processes of “ray”; by default one for each of its processors.
        out: a CSV file that gets a row for each photo and method as soon as it is measured, of
            “ray” with its whole photo; the summaries go to the same name with the ending `.json`.
        progress: called with the finished share after every few forward passes, of “ray” after
            every photo; whatever it raises ends the run.

    Raises:
        VitvizError: if the folder has no photos, `limit`, `steps`, `seeds`, `width` or `workers`
            is out of range, a method or metric is unknown or lacks what it needs, there is no such
            engine or it cannot be used, a model of scores is given a `width`, or `out` cannot be
            written or is of another model, of other metrics, or of an earlier version, which did
            not note the weights.

    Examples:
        >>> chosen = {"methods": ["attention"], "metrics": ["saco"]}
        >>> found = evaluate(vit, "photos", **chosen, steps=8, limit=1)
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
    _check(steps, seeds, width, engine, workers)
    photos = _photos(Path(folder), limit)
    if width is not None:
        photos.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    plan = Plan(
        Path(folder).absolute(),
        tuple(methods),
        tuple(metrics),
        steps,
        seeds,
        boxes,
        None if masks is None else Path(masks).absolute(),
        bounded=width is not None,
    )
    file = None if out is None else Path(out)
    weights = weights_hash(vit.module)
    results = Results(vit.name, weights, metrics, file, steps=steps, seeds=seeds)
    photo_results = (
        _measured_here(vit, plan, photos, results.known(), progress)
        if engine == "process"
        else measured_by_ray(vit, weights, plan, photos, results.known(), workers)
    )
    with closing(photo_results):
        evaluation = _collected(photo_results, results, plan, len(photos), width, progress)
    return results.finish(evaluation)


def _collected(
    photo_results: Iterable[Iterable[Found]],
    results: Results,
    plan: Plan,
    asked: int,
    width: float | None,
    progress: Progress | None,
) -> Evaluation:
    """Take what is found of each photo, until the last or an early stop."""
    measured: dict[MeasuredPhoto, None] = {}
    used = 0
    for used, photo in enumerate(photo_results, start=1):
        for found in photo:
            results.take(found)
            if isinstance(found, Row):
                measured[found.photo] = None
        if progress:
            progress(used / asked)
        if width is not None and used % LOOK == 0:
            summaries = list(_summaries(results.rows, plan, list(measured), lasting=True))
            if summaries and all(np.ptp(s.interval) <= width for s in summaries):
                break
    summaries = list(_summaries(results.rows, plan, list(measured), lasting=width is not None))
    rows = [
        {"photo": photo[0], "method": method, **results.rows[photo, method]}
        for photo in measured
        for method in plan.methods
        if (photo, method) in results.rows
    ]
    return Evaluation(summaries, results.errors, asked, used, width, rows)


def _measured_here(
    vit: Vit,
    plan: Plan,
    photos: Sequence[str],
    known: Mapping[str, Rows],
    progress: Progress | None,
) -> Generator[Iterator[Found]]:
    """What is found of each photo, in this process."""
    for number, name in enumerate(photos):
        part = part_of(progress, number, 1, len(photos))
        yield measure_photo(vit, plan, name, known.get(name, {}), part)


def _check(steps: int, seeds: int, width: float | None, engine: str, workers: int | None) -> None:
    """VitvizError for a number that is out of its range, or no engine."""
    check_steps(steps)
    check_seeds(seeds)
    if width is not None and not width > 0:
        raise VitvizError(
            "width_out_of_range", "The width must be more than 0, not {width}.", width=width
        )
    if engine not in ENGINES:
        raise VitvizError(
            "no_such_engine",
            "There is no engine “{engine}”; choose from {engines}.",
            engine=engine,
            engines=", ".join(ENGINES),
        )
    if workers is not None and (workers < 1 or engine == "process"):
        raise VitvizError(
            "workers_out_of_range",
            "The number of workers is a whole number from 1, and of the engine “ray”, not "
            "{workers} of “{engine}”.",
            workers=workers,
            engine=engine,
        )


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


def _summaries(
    rows: Mapping[tuple[MeasuredPhoto, str], Mapping[str, float]],
    plan: Plan,
    photos: Sequence[MeasuredPhoto],
    *,
    lasting: bool,
) -> Iterator[Summary]:
    """Means over those photos on which the method and random maps were measured, with intervals
    that stay true after an early stop or that are of a chosen number of photos."""
    for method in plan.methods:
        common = [p for p in photos if (p, method) in rows and (p, BASELINE) in rows]
        for metric in plan.metrics if common else ():
            values = np.array([rows[photo, method][metric] for photo in common])
            random = [rows[photo, BASELINE][metric] for photo in common]
            about = METRICS[metric]
            interval = (
                lasting_interval(values, about.bounds) if lasting else bootstrap_interval(values)
            )
            gain = difference(about, values.tolist(), random, lasting=lasting)
            yield Summary(method, metric, len(common), float(values.mean()), interval, *gain)
