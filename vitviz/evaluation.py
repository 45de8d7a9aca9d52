"""Methods measured over many photos: which maps does the model's own behaviour support?"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.errors import MethodError, VitvizError
from vitviz.faithfulness import (
    deletion,
    energy_in_box,
    insertion,
    perturbation,
    pointing_game,
    saco,
    segmentation,
    versus_random,
)
from vitviz.heatmap import Box, Heatmap
from vitviz.images import SUFFIXES, load_image
from vitviz.methods import METHODS, explain
from vitviz.progress import Progress
from vitviz.recording import Recording, record
from vitviz.zoo import Vit

__all__ = ["METRICS", "Evaluation", "Metric", "Summary", "evaluate", "read_boxes"]

RESAMPLES = 2000
RANDOM = "random"

Key = tuple[str, str]
"""A photo: its path below the folder, and the hash of what it was measured on."""

Known = Mapping[str | None, Any]
"""A photo's box and mask by those names, as far as they are needed; None under None."""


@dataclass(frozen=True)
class Metric:
    """A number that says how good a map is.

    Attributes:
        title: its name in tables.
        better: whether low or high values are good.
        measure: (recording, map, the photo's box or mask if it needs one) → the number.
        needs: what must be known of the photo.
    """

    title: str
    better: Literal["low", "high"]
    measure: Callable[[Recording, Heatmap, Any], float]
    needs: Literal["box", "mask"] | None = None


METRICS = {
    "deletion": Metric("Deletion", "low", lambda rec, heat, _: deletion(rec, heat).area),
    "insertion": Metric("Insertion", "high", lambda rec, heat, _: insertion(rec, heat).area),
    "positive": Metric(
        "Positive perturbation",
        "low",
        lambda rec, heat, _: float(perturbation(rec, heat, positive=True).mean()),
    ),
    "negative": Metric(
        "Negative perturbation",
        "high",
        lambda rec, heat, _: float(perturbation(rec, heat, positive=False).mean()),
    ),
    "saco": Metric("SaCo", "high", lambda rec, heat, _: saco(rec, heat)),
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


@dataclass(frozen=True)
class Summary:
    """One metric of one method over the photos.

    Attributes:
        method: an id in `METHODS`.
        metric: an id in `METRICS`.
        photos: how many were measured.
        mean: over the photos.
        interval: 95 % bootstrap interval of the mean over photos.
        gain: by how much the method is better than random maps of the same photos, on average;
            positive is better whatever the metric. 0 for the random maps themselves.
        gain_interval: its 95 % bootstrap interval.
    """

    method: str
    metric: str
    photos: int
    mean: float
    interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """The summaries, and what could not be measured: photo, method and why."""

    summaries: list[Summary]
    errors: list[dict[str, str]]

    def table(self) -> str:
        """Markdown: a row a method, a column a metric, each mean with its interval."""
        found = {(s.method, s.metric): s for s in self.summaries}
        methods = list(dict.fromkeys(s.method for s in self.summaries))
        metrics = list(dict.fromkeys(s.metric for s in self.summaries))
        arrows = {"low": "↓", "high": "↑"}
        titles = [f"{METRICS[m].title} {arrows[METRICS[m].better]}" for m in metrics]
        rows = ["| Method | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
        for method in methods:
            cells = [_cell(found.get((method, metric))) for metric in metrics]
            rows.append(f"| {METHODS[method].title} | " + " | ".join(cells) + " |")
        return "\n".join(rows)


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return "does not apply"
    low, high = summary.interval
    return f"{summary.mean:.3f} [{low:.3f}, {high:.3f}]"


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
    where it stopped if it is given the same `out`.

    Args:
        vit: the model.
        folder: photos, also in sub-folders.
        methods: ids in `METHODS`; all of them by default.
        metrics: ids in `METRICS`; by default all that need no more than is given.
        boxes: where each photo's object is, by its path below the folder; see `read_boxes`.
        masks: a folder with a picture for each photo, of the photo's own size and path but for its
            ending `.png`, that is not black where the object is.
        limit: measure no more photos than this, the first by name.
        out: a CSV file that gets a row for each photo and method as soon as it is measured; the
            summaries go to the same name with the ending `.json`.
        progress: called with the finished share after every photo; whatever it raises ends the run.

    Raises:
        VitvizError: if the folder has no photos, `limit` is less than 1, a method or metric is
            unknown or lacks what it needs, or `out` cannot be written or is of another evaluation.
    """
    methods = _chosen(methods, METHODS, "method")
    metrics = _chosen(metrics, _measurable(boxes, masks), "metric", METRICS)
    if RANDOM not in methods:
        methods.append(RANDOM)
    photos = _photos(Path(folder), limit)
    results = Results(vit.name, metrics, None if out is None else Path(out))
    measured: list[Key] = []
    for number, name in enumerate(photos, start=1):
        try:
            photo = load_image(Path(folder, name))
            known = _known(name, photo, metrics, boxes, masks)
        except VitvizError as error:
            results.fail(name, "", error)
        else:
            measured.append((name, _digest(photo, known)))
            _measure_photo(vit, photo, known, measured[-1], methods, results)
        if progress:
            progress(number / len(photos))
    summaries = list(_summaries(results.rows, methods, metrics, measured))
    return results.finish(summaries)


def _measure_photo(
    vit: Vit,
    photo: Image.Image,
    known: Known,
    key: Key,
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


def read_boxes(file: str | Path) -> dict[str, Box]:
    """Boxes by photo from a CSV file with the columns file, x0, y0, x1, y1, in the photo's pixels.

    Raises:
        VitvizError: if the file cannot be read, lacks a column, holds something else than numbers,
            an empty box, or two boxes for one photo.
    """
    boxes: dict[str, Box] = {}
    rows = csv.DictReader(io.StringIO(_read_text(Path(file)), newline=""))
    for number, row in enumerate(rows, start=2):
        try:
            x0, y0, x1, y1 = (float(row[side]) for side in ("x0", "y0", "x1", "y1"))
            name = row["file"]
        except (KeyError, TypeError, ValueError) as error:
            raise VitvizError(
                f"Line {number} of {file} is not a box; give file,x0,y0,x1,y1 with numbers."
            ) from error
        if name in boxes or not (x0 < x1 and y0 < y1):
            what = "a second box for its photo" if name in boxes else "an empty box"
            raise VitvizError(f"Line {number} of {file} is {what}; give one box a photo.")
        boxes[name] = (x0, y0, x1, y1)
    return boxes


class Results:
    """What was measured and what could not be, in memory and in a file if wanted.

    A row is of a photo as it was: one whose pixels, box or mask have changed since an earlier run
    is measured anew.
    """

    def __init__(self, model: str, metrics: Sequence[str], file: Path | None) -> None:
        self.model, self.metrics, self.file = model, list(metrics), file
        self.columns = ["photo", "sha256", "model", "method", *metrics]
        self.rows: dict[tuple[Key, str], dict[str, float]] = {}
        self.errors: list[dict[str, str]] = []
        if file is None:
            return
        if file.suffix in (".json", ".part"):
            raise VitvizError(f"{file} would be overwritten by the summary; name it results.csv.")
        if file.exists():
            self._read(file)
        try:
            self._rewrite(file)
        except OSError as error:
            raise VitvizError(f"{file} cannot be written: {error.strerror}.") from error

    def _read(self, file: Path) -> None:
        """Take up what an earlier run has measured."""
        text = _read_text(file)
        whole = text[: text.rfind("\n") + 1]  # the last line may be cut off, even within a number
        for row in csv.DictReader(io.StringIO(whole, newline="")):
            if list(row) != self.columns or row["model"] != self.model:
                raise VitvizError(
                    f"{file} is of another model or of other metrics; give another file."
                )
            values = {metric: float(row[metric]) for metric in self.metrics}
            self.rows[(row["photo"], row["sha256"]), row["method"]] = values

    def _rewrite(self, file: Path) -> None:
        complete = file.with_suffix(".part")  # a run that ends here loses nothing
        with complete.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines)
            writer.writerow(self.columns)
            writer.writerows(self._line(*key) for key in self.rows)
        complete.replace(file)

    def _line(self, key: Key, method: str) -> list[Any]:
        return [*key, self.model, method, *self.rows[key, method].values()]

    def add(self, key: Key, method: str, values: dict[str, float]) -> None:
        """Keep one row, at once."""
        self.rows[key, method] = values
        if self.file:
            with self.file.open("a", newline="", encoding="utf-8") as lines:
                csv.writer(lines).writerow(self._line(key, method))

    def fail(self, photo: str, method: str, error: VitvizError) -> None:
        """Remember what could not be measured, and why."""
        self.errors.append({"photo": photo, "method": method, "error": str(error)})

    def finish(self, summaries: list[Summary]) -> Evaluation:
        """The whole, also beside the file of the rows."""
        evaluation = Evaluation(summaries, self.errors)
        if self.file:
            text = json.dumps({"model": self.model, **asdict(evaluation)}, indent=2)
            self.file.with_suffix(".json").write_text(text, encoding="utf-8")
        return evaluation


def _chosen(
    ids: Sequence[str] | None,
    offered: Mapping[str, Any],
    kind: str,
    known: Mapping[str, Metric] = MappingProxyType({}),
) -> list[str]:
    """The ids asked for, all that are offered by default."""
    for name in ids or ():
        if name in offered:
            continue
        if name in known:
            raise VitvizError(f"The {kind} “{name}” needs a {known[name].needs} for each photo.")
        raise VitvizError(f"There is no {kind} “{name}”; choose from {', '.join(offered)}.")
    return list(dict.fromkeys(ids or offered))


def _measurable(boxes: Mapping[str, Box] | None, masks: str | Path | None) -> dict[str, Metric]:
    """The metrics that need no more than is given."""
    given = {None, None if boxes is None else "box", None if masks is None else "mask"}
    return {name: metric for name, metric in METRICS.items() if metric.needs in given}


def _photos(folder: Path, limit: int | None) -> list[str]:
    """Paths of the photos below the folder, by name."""
    if limit is not None and limit < 1:
        raise VitvizError(f"The limit must be at least one photo, not {limit}.")
    found = [file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES]
    if not found:
        raise VitvizError(f"There is no photo in {folder}; give a folder with photos.")
    return sorted(file.relative_to(folder).as_posix() for file in found)[:limit]


def _known(
    name: str,
    photo: Image.Image,
    metrics: Sequence[str],
    boxes: Mapping[str, Box] | None,
    masks: str | Path | None,
) -> Known:
    """The photo's box and mask, as far as the metrics need them."""
    needed = {METRICS[metric].needs for metric in metrics}
    known: dict[str | None, Any] = {None: None}
    if "box" in needed and boxes is not None:
        if name not in boxes:
            raise VitvizError("There is no box for this photo; add its line.")
        known["box"] = boxes[name]
    if "mask" in needed and masks is not None:
        mask = _load_mask((Path(masks) / name).with_suffix(".png"))
        if mask.size != photo.size:
            raise VitvizError(f"The mask is {mask.size} and the photo {photo.size} px; resize it.")
        known["mask"] = np.asarray(mask).any(axis=-1)
    return known


def _load_mask(file: Path) -> Image.Image:
    """A mask's colours; transparency would say in a second way what is object and what is not."""
    mask = load_image(file)
    with Image.open(file) as raw:
        if raw.has_transparency_data:
            raise VitvizError("The mask has transparency; save it as black and white.")
    return mask


def _digest(photo: Image.Image, known: Known) -> str:
    """Hash of a photo's pixels and of what is known of it."""
    mask = known.get("mask")
    found = hashlib.sha256(f"{photo.size} {known.get('box')}".encode())
    found.update(photo.tobytes())
    found.update(b"" if mask is None else mask.tobytes())
    return found.hexdigest()


def _measure(rec: Recording, method: str, metrics: Sequence[str], known: Known) -> dict[str, float]:
    """Every metric of one method's map; of random maps the mean of several."""

    def measure(heat: Heatmap) -> list[float]:
        chosen = [METRICS[metric] for metric in metrics]
        return [float(m.measure(rec, heat, known[m.needs])) for m in chosen]

    values = (
        versus_random(rec, measure)[0].tolist()
        if method == RANDOM
        else measure(explain(rec, method).on_grid(rec.grid))
    )
    return dict(zip(metrics, values, strict=True))


def _summaries(
    rows: Mapping[tuple[Key, str], Mapping[str, float]],
    methods: Sequence[str],
    metrics: Sequence[str],
    photos: Sequence[Key],
) -> Iterator[Summary]:
    """Means over those photos on which the method and random maps were measured."""
    for method in methods:
        common = [p for p in photos if (p, method) in rows and (p, RANDOM) in rows]
        for metric in metrics if common else ():
            values = np.array([rows[photo, method][metric] for photo in common])
            gains = values - [rows[photo, RANDOM][metric] for photo in common]
            gains *= 1 if METRICS[metric].better == "high" else -1
            mean, gain = float(values.mean()), float(gains.mean())
            intervals = _interval(values), _interval(gains)
            yield Summary(method, metric, len(common), mean, intervals[0], gain, intervals[1])


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean; the photos are drawn with replacement."""
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise VitvizError(f"{file} cannot be read as CSV; check the path and the file.") from error
