"""A run that ends as soon as its intervals are tight enough, on values that are made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from families import random_classifier, random_module

import vitviz
from vitviz.measures import evaluation
from vitviz.measures.evaluation import evaluate
from vitviz.measures.intervals import lasting_interval
from vitviz.measures.measuring import Plan
from vitviz.measures.results import Found, Row, Rows

PHOTOS = 200
CHOSEN = {"methods": ["rollout"], "metrics": ["deletion"]}
Values = Callable[[int], float]


@pytest.fixture(scope="module")
def vit() -> vitviz.Vit:
    return vitviz.from_module(random_classifier("vit", depth=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos by name only: 000.png, 001.png, …"""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(PHOTOS):
        (photos / f"{number:03}.png").touch()
    return photos


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Callable[[Values], list[str]]:
    """Says what is measured of a photo by its number; gives the photos that are measured anew."""

    def use(values: Values) -> list[str]:
        new: list[str] = []

        def measure(_: object, plan: Plan, name: str, known: Rows, *__: object) -> Iterator[Found]:
            if "0" not in known:
                new.append(name)
            for method in plan.methods:
                yield Row((name, "0"), method, {"deletion": values(int(name[:3]))})

        monkeypatch.setattr(evaluation, "measure_photo", measure)
        return new

    return use


def test_it_ends_at_the_first_look_at_which_every_interval_is_tight(
    vit: vitviz.Vit, folder: Path, tmp_path: Path, measuring: Callable[[Values], list[str]]
) -> None:
    measuring(lambda _: 0.25)
    out = tmp_path / "results.csv"
    found = evaluate(vit, folder, **CHOSEN, width=0.2, out=out)
    expected = next(
        count
        for count in range(10, PHOTOS, 10)
        if np.ptp(lasting_interval(np.full(count, 0.25), (0, 1))) <= 0.2
    )
    assert 30 < expected < 100
    assert (found.used, found.asked) == (expected, PHOTOS)
    assert {s.photos for s in found.summaries} == {expected}
    assert found.summaries[0].interval == lasting_interval(np.full(expected, 0.25), (0, 1))
    assert found.summaries[0].gain_interval == lasting_interval(np.zeros(expected), (-1, 1))
    assert len(out.read_text().splitlines()) == 1 + 2 * expected
    table = found.table()
    assert f"Stopped early, after {expected} of 200 photos in a random order" in table
    assert "every interval is at most 0.2 wide" in table
    assert f"] | {expected} |" in table
    kept = json.loads(out.with_suffix(".json").read_text())
    assert (kept["used"], kept["asked"], kept["width"]) == (expected, PHOTOS, 0.2)


def test_a_folder_that_is_sorted_by_class_is_not_measured_class_by_class(
    vit: vitviz.Vit, folder: Path, measuring: Callable[[Values], list[str]]
) -> None:
    """Its first half is easy; whoever stopped within it would call all of it easy."""
    new = measuring(lambda number: float(number >= PHOTOS // 2))
    found = evaluate(vit, folder, **CHOSEN, width=0.5)
    assert found.used < PHOTOS // 2
    assert len(new) == found.used
    low, high = found.summaries[0].interval
    assert low < 0.5 < high
    assert new != sorted(new)


def test_what_does_not_tighten_is_measured_to_its_end(
    vit: vitviz.Vit, folder: Path, measuring: Callable[[Values], list[str]]
) -> None:
    measuring(lambda number: float(number % 2))
    found = evaluate(vit, folder, **CHOSEN, width=0.01)
    assert found.used == found.asked == PHOTOS
    assert "Not stopped early: all 200 photos were measured." in found.table()
    plain = evaluate(vit, folder, **CHOSEN)
    assert "topped early" not in plain.table()
    assert found.summaries[0].mean == plain.summaries[0].mean
    assert np.ptp(found.summaries[0].interval) > np.ptp(plain.summaries[0].interval)


@pytest.mark.parametrize("ended", [7, 25, 44])
def test_a_run_that_was_ended_stops_where_a_whole_one_does(
    vit: vitviz.Vit,
    folder: Path,
    tmp_path: Path,
    measuring: Callable[[Values], list[str]],
    ended: int,
) -> None:
    new = measuring(lambda number: number / PHOTOS / 4)
    expected = evaluate(vit, folder, **CHOSEN, width=0.2, out=tmp_path / "whole.csv")
    assert ended < expected.used < PHOTOS
    new.clear()

    def end(_: float) -> None:
        if len(new) == ended:
            raise KeyboardInterrupt

    out = tmp_path / "parts.csv"
    with pytest.raises(KeyboardInterrupt):
        evaluate(vit, folder, **CHOSEN, width=0.2, out=out, progress=end)
    assert evaluate(vit, folder, **CHOSEN, width=0.2, out=out) == expected
    assert len(new) == expected.used
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_narrower_width_goes_on_and_a_wider_one_needs_nothing(
    vit: vitviz.Vit, folder: Path, tmp_path: Path, measuring: Callable[[Values], list[str]]
) -> None:
    new = measuring(lambda _: 0.25)
    out = tmp_path / "results.csv"
    wide = evaluate(vit, folder, **CHOSEN, width=0.2, out=out)
    narrow = evaluate(vit, folder, **CHOSEN, width=0.1, out=out)
    assert wide.used < narrow.used == len(new) < PHOTOS
    assert evaluate(vit, folder, **CHOSEN, width=0.2, out=out) == wide
    assert len(new) == narrow.used


def test_a_width_of_none(vit: vitviz.Vit, folder: Path) -> None:
    for width in (0, -1.0, float("nan")):
        with pytest.raises(vitviz.VitvizError, match="must be more than 0"):
            evaluate(vit, folder, **CHOSEN, width=width)


def test_scores_have_no_bounds(tmp_path: Path, photo) -> None:
    module = random_module("vit", depth=1)
    module.reset_classifier(1)
    photo.save(tmp_path / "a.png")
    with pytest.raises(vitviz.VitvizError, match="gives scores, which have no bounds"):
        evaluate(vitviz.from_module(module), tmp_path, **CHOSEN, width=0.1)
