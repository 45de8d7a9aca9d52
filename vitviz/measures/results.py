"""What an evaluation has measured, in memory and in its file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitviz.errors import VitvizError
from vitviz.measures.metrics import METRICS
from vitviz.methods.explain import METHODS

__all__ = ["Evaluation", "Summary"]

RESAMPLES = 2000

Key = tuple[str, str]
"""A photo: its path below the folder, and the hash of what it was measured on."""


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
            raise VitvizError(
                "file_not_written",
                "{file} cannot be written: {reason}.",
                file=file,
                reason=error.strerror,
            ) from error

    def _read(self, file: Path) -> None:
        """Take up what an earlier run has measured."""
        text = read_text(file)
        whole = text[: text.rfind("\n") + 1]  # the last line may be cut off, even within a number
        for row in csv.DictReader(io.StringIO(whole, newline="")):
            if list(row) != self.columns or row["model"] != self.model:
                raise VitvizError(
                    "results_of_others",
                    "{file} is of another model or of other metrics; give another file.",
                    file=file,
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


def read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise VitvizError(
            "csv_not_read", "{file} cannot be read as CSV; check the path and the file.", file=file
        ) from error
