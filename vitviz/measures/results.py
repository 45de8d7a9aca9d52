"""What an evaluation has measured, in memory and in its file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitviz.errors import VitvizError
from vitviz.files import not_written
from vitviz.measures.curves import STEPS
from vitviz.measures.faithfulness import MAPS
from vitviz.measures.intervals import Interval, bootstrap_interval, lasting_interval
from vitviz.measures.metrics import METRICS, Metric, metrics_of
from vitviz.methods.explain import METHODS

__all__ = [
    "Evaluation",
    "Failure",
    "Found",
    "MeasuredPhoto",
    "Results",
    "Row",
    "Rows",
    "Summary",
    "difference",
    "read_text",
]

COLUMNS = ("photo", "sha256", "model", "weights", "method", "options", "settings")


MeasuredPhoto = tuple[str, str]
"""A photo: its path below the folder, and the hash of what it was measured on."""

Rows = Mapping[str, Mapping[str, Mapping[str, float]]]
"""What was measured of a photo before: by that hash, by method, by metric."""


@dataclass(frozen=True)
class Row:
    """What was measured of a method on a photo, by metric."""

    photo: MeasuredPhoto
    method: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Failure:
    """Why a photo, or one method on it, could not be measured."""

    photo: str
    method: str
    error: VitvizError


Found = Row | Failure


@dataclass(frozen=True)
class Summary:
    """One metric of one method over the photos.

    Attributes:
        method: an id in `METHODS`.
        metric: an id in `METRICS`.
        photos: how many were measured.
        mean: over the photos.
        interval: 95 % interval of the mean over photos, see `Evaluation`.
        gain: by how much the method is better than random maps of the same photos, on average;
            positive is better whatever the metric. 0 for the random maps themselves.
        gain_interval: its 95 % interval.
    """

    method: str
    metric: str
    photos: int
    mean: float
    interval: Interval
    gain: float
    gain_interval: Interval


def difference(
    metric: Metric, ours: Sequence[float], others: Sequence[float], *, lasting: bool
) -> tuple[float, Interval]:
    """By how much values are better than others of the same photos: the mean and its 95 % interval,
    such as stays true after an early stop or of a chosen number of photos."""
    gains = np.subtract(ours, others) * (1 if metric.better == "high" else -1)
    low, high = metric.bounds
    interval = (
        lasting_interval(gains, (low - high, high - low)) if lasting else bootstrap_interval(gains)
    )
    return float(gains.mean()), interval


@dataclass(frozen=True)
class Evaluation:
    """What was found, and what could not be measured.

    Attributes:
        summaries: of each method and metric.
        errors: photo, method and why.
        asked: how many photos there were to measure.
        used: how many of them were measured or could not be; fewer after an early stop.
        width: of the intervals that would end the run early; None where nothing would. Intervals
            are bootstrap intervals without it, and with it such as stay true after a stop.
        rows: one of each photo and method: its `photo`, its `method`, and each metric's value by
            the metric's id. `pandas.DataFrame(found.rows)` makes a table of them.

    Examples:
        >>> chosen = {"methods": ["attention"], "metrics": ["saco"], "limit": 2}
        >>> found = vitviz.evaluate(vit, "photos", **chosen, seeds=2)
        >>> list(found.rows[0]), [row["method"] for row in found.rows]
        (['photo', 'method', 'saco'], ['attention', 'random', 'attention', 'random'])
        >>> mean, (low, high) = found.compare("attention", "random")["saco"]
        >>> low <= mean <= high
        True
    """

    summaries: list[Summary]
    errors: list[dict[str, str]]
    asked: int
    used: int
    width: float | None = None
    rows: list[dict[str, Any]] = field(default_factory=list, repr=False)

    def compare(self, method: str, other: str) -> dict[str, tuple[float, Interval]]:
        """By how much one method is better than another on the same photos, by metric: the mean,
        positive where `method` is better, and its 95 % interval. Photos differ more than methods
        do, so this tells two methods apart where their own intervals overlap.

        Args:
            method, other: ids of methods that were measured.

        Raises:
            VitvizError: if one of them was not measured, or not on the same photos.
        """
        values = {
            name: {row["photo"]: row for row in self.rows if row["method"] == name}
            for name in (method, other)
        }
        common = [photo for photo in values[method] if photo in values[other]]
        if not common:
            raise VitvizError(
                "not_measured_together",
                "No photo was measured with both {method} and {other}; name two methods of this "
                "evaluation.",
                method=method,
                other=other,
            )
        found: dict[str, tuple[float, Interval]] = {}
        for metric in dict.fromkeys(summary.metric for summary in self.summaries):
            pairs = [[values[name][photo][metric] for photo in common] for name in (method, other)]
            found[metric] = difference(METRICS[metric], *pairs, lasting=self.width is not None)
        return found

    def table(self) -> str:
        """Markdown: a row a method, a column a metric, each mean with its interval, and the number
        of photos; below it whether the run stopped early, if it could."""
        found = {(s.method, s.metric): s for s in self.summaries}
        methods = list(dict.fromkeys(s.method for s in self.summaries))
        metrics = list(dict.fromkeys(s.metric for s in self.summaries))
        arrows = {"low": "↓", "high": "↑"}
        titles = [f"{METRICS[m].title} {arrows[METRICS[m].better]}" for m in metrics]
        rows = [f"| Method | {' | '.join(titles)} | Photos |", "|---" * (len(titles) + 2) + "|"]
        for method in methods:
            cells = [_cell(found.get((method, metric))) for metric in metrics]
            photos = max(s.photos for s in self.summaries if s.method == method)
            rows.append(f"| {METHODS[method].title} | {' | '.join(cells)} | {photos} |")
        table = "\n".join(rows)
        return table if self.width is None else f"{table}\n\n{self._ending(self.width)}"

    def _ending(self, width: float) -> str:
        """Whether the run stopped early, and what that makes of its intervals."""
        end = (
            f"Stopped early, after {self.used} of {self.asked} photos in a random order: every "
            f"interval is at most {width:g} wide."
            if self.used < self.asked
            else f"Not stopped early: all {self.asked} photos were measured."
        )
        return f"{end} Intervals are 95 % confidence sequences, which stay true after such a stop."


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return "does not apply"
    low, high = summary.interval
    return f"{summary.mean:.3f} [{low:.3f}, {high:.3f}]"


class Results:
    """What was measured and what could not be, in memory and in a file if wanted.

    A row is of a photo, a model, a method and metrics as they were. What has changed since an
    earlier run is measured anew: the photo's pixels, its box or mask, the model's weights, the
    method's default options, the metrics' settings. Rows of what was before stay in the file.
    """

    def __init__(
        self,
        model: str,
        weights: str,
        metrics: Sequence[str],
        file: Path | None,
        *,
        steps: int = STEPS,
        seeds: int = MAPS,
    ) -> None:
        self.model, self.weights, self.metrics, self.file = model, weights, list(metrics), file
        measures = metrics_of(steps)
        self.settings: dict[str, Any] = {name: dict(measures[name].settings) for name in metrics}
        self.settings["random maps"] = seeds
        self.columns = [*COLUMNS, *metrics]
        self.rows: dict[tuple[MeasuredPhoto, str], dict[str, float]] = {}
        self.others: list[list[str]] = []
        self.errors: list[dict[str, str]] = []
        if file is None:
            return
        if file.suffix in (".json", ".part"):
            raise VitvizError(
                "summary_overwrites",
                "{file} would be overwritten by the summary; name it results.csv.",
                file=file,
            )
        if file.exists():
            self._read(file)
        try:
            self._rewrite(file)
        except OSError as error:
            raise not_written(file, error) from error

    def _read(self, file: Path) -> None:
        """Take up what an earlier run has measured."""
        rows = csv.DictReader(io.StringIO(read_text(file, whole_lines=True), newline=""))
        if rows.fieldnames and tuple(rows.fieldnames[: len(COLUMNS)]) != COLUMNS:
            raise VitvizError(
                "results_of_other_version",
                "{file} is no table of this version's, which also notes weights, options and "
                "settings; give another file.",
                file=file,
            )
        for row in rows:
            if list(row) != self.columns:
                raise VitvizError(
                    "results_of_other_metrics",
                    "{file} holds {held}, and not {asked}; measure the same, or give another file.",
                    file=file,
                    held=", ".join(list(filter(None, row))[len(COLUMNS) :]),
                    asked=", ".join(self.metrics),
                )
            if row["model"] not in (self.model, None):
                raise VitvizError(
                    "results_of_other_model",
                    "{file} is of the model {held}, and not of {model}; give another file.",
                    file=file,
                    held=row["model"],
                    model=self.model,
                )
            key, method = (row["photo"], row["sha256"]), row["method"]
            if list(row.values())[: len(COLUMNS)] == self._identity(key, method):
                values = {metric: float(row[metric]) for metric in self.metrics}
                self.rows[key, method] = values
            elif None not in row.values():  # one that is cut off within a name of several lines
                self.others.append(list(row.values()))

    def _rewrite(self, file: Path) -> None:
        complete = file.with_suffix(".part")  # a run that ends here loses nothing
        with complete.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines)
            writer.writerow(self.columns)
            writer.writerows(self.others)
            writer.writerows(self._line(*key) for key in self.rows)
        complete.replace(file)

    def _line(self, key: MeasuredPhoto, method: str) -> list[Any]:
        return [*self._identity(key, method), *self.rows[key, method].values()]

    def _identity(self, key: MeasuredPhoto, method: str) -> list[str]:
        """What a row is of, in the order of the columns; settings as a hash, which is shorter."""
        options = METHODS[method].defaults if method in METHODS else {}
        settings = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        return [*key, self.model, self.weights, method, json.dumps(options), settings[:16]]

    def add(self, key: MeasuredPhoto, method: str, values: dict[str, float]) -> None:
        """Keep one row, at once."""
        self.rows[key, method] = values
        if self.file:
            try:
                with self.file.open("a", newline="", encoding="utf-8") as lines:
                    csv.writer(lines).writerow(self._line(key, method))
            except OSError as error:
                raise not_written(self.file, error) from error

    def fail(self, photo: str, method: str, error: VitvizError) -> None:
        """Remember what could not be measured, and why."""
        self.errors.append({"photo": photo, "method": method, "error": str(error)})

    def known(self) -> Mapping[str, Rows]:
        """The rows of each photo, by its path."""
        found: defaultdict[str, defaultdict[str, dict[str, dict[str, float]]]]
        found = defaultdict(lambda: defaultdict(dict))
        for ((photo, digest), method), values in self.rows.items():
            found[photo][digest][method] = values
        return found

    def take(self, found: Found) -> None:
        """Keep what was found of a photo; a row that is here already stays as it is."""
        if isinstance(found, Failure):
            self.fail(found.photo, found.method, found.error)
        elif (found.photo, found.method) not in self.rows:
            self.add(found.photo, found.method, dict(found.values))

    def finish(self, evaluation: Evaluation) -> Evaluation:
        """The whole, also beside the file of the rows."""
        if self.file:
            made_of = {"model": self.model, "weights": self.weights, "settings": self.settings}
            whole = asdict(evaluation)
            del whole["rows"]  # those of the CSV file
            text = json.dumps({**made_of, **whole}, indent=2)
            summary = self.file.with_suffix(".json")
            try:
                summary.write_text(text, encoding="utf-8")
            except OSError as error:
                raise not_written(summary, error) from error
        return evaluation


def read_text(file: Path, *, whole_lines: bool = False) -> str:
    """A file's text; of `whole_lines`, without a last one that does not end: it may be cut off,
    even within a number or a letter."""
    try:
        data = file.read_bytes()
        return (data[: data.rfind(b"\n") + 1] if whole_lines else data).decode()
    except (OSError, ValueError) as error:  # ValueError: other bytes, an impossible path
        raise VitvizError(
            "csv_not_read", "{file} cannot be read as CSV; check the path and the file.", file=file
        ) from error
