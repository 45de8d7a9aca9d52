"""Evaluation over a folder: its numbers, its restart, and what it says about bad input."""

from __future__ import annotations

import copy
import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from families import random_classifier, random_module
from PIL import Image
from scipy.stats import bootstrap
from torchvision import transforms

import vitviz
from vitviz.commands.main import main
from vitviz.measures import measuring
from vitviz.measures.annotations import read_boxes
from vitviz.measures.evaluation import evaluate
from vitviz.measures.faithfulness import deletion, saco, versus_random
from vitviz.measures.intervals import bootstrap_interval, lasting_interval
from vitviz.measures.localisation import energy_in_box, segmentation
from vitviz.measures.results import Evaluation, Results, Summary

BOX = (4.0, 6.0, 30.0, 28.0)


@pytest.fixture
def vit() -> vitviz.Vit:
    return vitviz.from_module(random_classifier("vit"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, one of them in a sub-folder, and a file that is none."""
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    random = np.random.default_rng(0)  # other photos could have two maps hide the same patches
    for name in ("a.png", "b.png", "sub/c.PNG"):
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(photos / name)
    (photos / "credits.json").write_text("{}")
    return photos


def area(rec: vitviz.Recording, heat: vitviz.Heatmap) -> float:
    return deletion(rec, heat).area


def rows_of(file: Path) -> list[list[str]]:
    with file.open(newline="") as lines:
        return sorted(csv.reader(lines))


def test_a_models_scores_are_measured_by_what_fits(folder: Path) -> None:
    module = random_module("vit")
    module.reset_classifier(1)
    found = evaluate(vitviz.from_module(module), folder, methods=["attention"], limit=1)
    assert found.errors == []
    assert {s.metric for s in found.summaries} == {"deletion", "insertion", "saco"}


def test_means_are_those_of_the_photos(vit: vitviz.Vit, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    methods, metrics = ["relevance", "attention"], ["deletion", "saco"]
    found = evaluate(vit, folder, methods=methods, metrics=metrics, out=out)
    assert not found.errors
    values: dict[tuple[str, str], list[float]] = {}
    for name in ("a.png", "b.png", "sub/c.PNG"):
        rec = vitviz.record(vit, vitviz.load_image(folder / name))
        measures = {"deletion": partial(area, rec), "saco": partial(saco, rec)}
        for metric, measure in measures.items():
            for method in methods:
                values.setdefault((method, metric), []).append(measure(vitviz.explain(rec, method)))
            values.setdefault(("random", metric), []).append(versus_random(rec, measure)[0])
    assert len(found.summaries) == len(values) == 6
    for summary in found.summaries:
        expected = np.array(values[summary.method, summary.metric])
        gain = expected - values["random", summary.metric]
        if summary.metric == "deletion":
            gain = -gain  # a small area is a good one
        assert summary.photos == 3
        assert summary.mean == pytest.approx(expected.mean())
        assert summary.gain == pytest.approx(gain.mean())
        assert summary.interval[0] <= summary.mean <= summary.interval[1]
        assert f"{summary.mean:.3f} [" in found.table()
    assert len(rows_of(out)) == 1 + 3 * 3
    kept = json.loads(out.with_suffix(".json").read_text())
    assert [s["mean"] for s in kept["summaries"]] == [s.mean for s in found.summaries]


@pytest.mark.parametrize("cut", [3, 25])  # within a number, within the line
def test_an_interrupted_run_goes_on_where_it_stopped(
    vit: vitviz.Vit, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    chosen = {"methods": ["rollout"], "metrics": ["deletion", "negative"]}
    expected = evaluate(vit, folder, **chosen, out=whole)

    def stop(share: float) -> None:
        if share >= 1 / 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(vit, folder, **chosen, out=parts, progress=stop)
    next_line = next(line for line in whole.read_text().splitlines() if line.startswith("b.png"))
    parts.write_bytes(parts.read_bytes() + next_line[:-cut].encode())
    assert rows_of(parts) != rows_of(whole)
    recorded: list[object] = []
    real = measuring.record
    monkeypatch.setattr(measuring, "record", lambda *a: recorded.append(a) or real(*a))
    assert evaluate(vit, folder, **chosen, out=parts) == expected
    assert len(recorded) == 2
    assert rows_of(parts) == rows_of(whole)
    assert b"\r\r" not in parts.read_bytes()
    assert evaluate(vit, folder, **chosen, out=parts) == expected
    assert len(recorded) == 2


def test_a_photo_that_has_changed_is_measured_anew(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    chosen = {"methods": ["rollout"], "metrics": ["deletion"]}
    before = evaluate(vit, folder, **chosen, out=out)
    Image.effect_noise((40, 40), 20).convert("RGB").save(folder / "b.png")
    after = evaluate(vit, folder, **chosen, out=out)
    assert after == evaluate(vit, folder, **chosen)
    assert after != before


CHOSEN = {"methods": ["rollout"], "metrics": ["deletion"]}


def test_other_weights_under_the_same_name_are_measured_anew(folder: Path, tmp_path: Path) -> None:
    """One number of one buffer or of a model in bfloat16 is enough to be another model."""
    out = tmp_path / "results.csv"
    module = random_classifier("vit")
    one = vitviz.from_module(copy.deepcopy(module), name="mine")
    torch.nn.init.normal_(module.head.weight, std=3, generator=torch.Generator().manual_seed(1))
    other = vitviz.from_module(module, name="mine")
    before = evaluate(one, folder, **CHOSEN, out=out)
    after = evaluate(other, folder, **CHOSEN, out=out)
    assert after == evaluate(other, folder, **CHOSEN)
    assert after != before
    assert evaluate(one, folder, **CHOSEN, out=out) == before
    assert len(rows_of(out)) == 1 + 2 * 3 * 2  # both models' rows are kept, each once


def test_another_transform_of_the_same_model_is_measured_anew(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    small = transforms.Compose([transforms.CenterCrop((20, 20)), *vit.transform.transforms])
    other = replace(vit, transform=small)
    before = evaluate(vit, folder, **CHOSEN, out=out)
    after = evaluate(other, folder, **CHOSEN, out=out)
    assert after == evaluate(other, folder, **CHOSEN) != before


def test_other_default_options_are_measured_anew(
    vit: vitviz.Vit, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "results.csv"
    before = evaluate(vit, folder, **CHOSEN, out=out)
    rollout = vitviz.METHODS["rollout"]
    fusion = replace(rollout.options["fusion"], default="max")
    options = {**rollout.options, "fusion": fusion}
    monkeypatch.setitem(vitviz.METHODS, "rollout", replace(rollout, options=options))
    after = evaluate(vit, folder, **CHOSEN, out=out)
    assert after == evaluate(vit, folder, **CHOSEN)
    assert after != before


@pytest.mark.parametrize("chosen", [{"steps": 2}, {"seeds": 2}])
def test_other_settings_are_measured_anew(
    vit: vitviz.Vit, folder: Path, tmp_path: Path, chosen: dict[str, int]
) -> None:
    out = tmp_path / "results.csv"
    before = evaluate(vit, folder, **CHOSEN, out=out)
    after = evaluate(vit, folder, **CHOSEN, **chosen, out=out)
    assert after == evaluate(vit, folder, **CHOSEN, **chosen) != before
    assert evaluate(vit, folder, **CHOSEN, out=out) == before
    assert len(rows_of(out)) == 1 + 2 * 3 * 2  # both settings' rows are kept, each once


def test_a_table_of_an_earlier_version_is_refused(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    for rows in ("", f"a.png,0,{vit.name},rollout,0.5\n"):
        out.write_text("photo,sha256,model,method,deletion\n" + rows)
        before = out.read_text()
        with pytest.raises(vitviz.VitvizError, match="also notes weights, options and settings"):
            evaluate(vit, folder, **CHOSEN, out=out)
        assert out.read_text() == before


def test_results_of_something_else_are_not_continued(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    evaluate(vit, folder, methods=["rollout"], metrics=["deletion"], limit=1, out=out)
    before = out.read_text()
    with pytest.raises(vitviz.VitvizError, match="holds deletion, and not saco; measure"):
        evaluate(vit, folder, methods=["rollout"], metrics=["saco"], out=out)
    with pytest.raises(vitviz.VitvizError, match=r"is of the model .*, and not of another;"):
        evaluate(
            replace(vit, name="another"), folder, methods=["rollout"], metrics=["deletion"], out=out
        )
    assert out.read_text() == before


def test_boxes_and_masks(vit: vitviz.Vit, folder: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file,x0,y0,x1,y1\na.png,4,6,30,28\n")
    masks = tmp_path / "masks"
    masks.mkdir()
    truth = np.zeros((40, 40), bool)
    truth[6:28, 4:30] = True
    Image.fromarray(truth).save(masks / "a.png")
    rec = vitviz.record(vit, vitviz.load_image(folder / "a.png"))
    heat = vitviz.explain(rec, "attention")
    boxed = evaluate(
        vit, folder, methods=["attention"], metrics=["energy"], boxes=read_boxes(boxes)
    )
    assert boxed.summaries[0].mean == pytest.approx(energy_in_box(heat, BOX))
    assert boxed.summaries[0].photos == 1
    assert {(e["photo"], "no box" in e["error"]) for e in boxed.errors} == {
        ("b.png", True),
        ("sub/c.PNG", True),
    }
    masked = evaluate(vit, folder, methods=["attention"], metrics=["iou"], masks=masks, limit=1)
    assert masked.summaries[0].mean == pytest.approx(segmentation(heat, truth).mean_iou)
    Image.fromarray(truth[:20]).save(masks / "a.png")
    [error] = evaluate(
        vit, folder, methods=["attention"], metrics=["iou"], masks=masks, limit=1
    ).errors
    assert "resize" in error["error"]


def test_metrics_are_all_that_what_is_known_allows(vit: vitviz.Vit, folder: Path) -> None:
    found = evaluate(vit, folder, methods=["random"], limit=1)
    assert [s.metric for s in found.summaries] == [
        "deletion", "insertion", "positive", "negative", "saco",
    ]  # fmt: skip
    assert {s.gain for s in found.summaries} == {0.0}
    with pytest.raises(vitviz.VitvizError, match="“iou” needs a mask for each photo"):
        evaluate(vit, folder, metrics=["iou"])


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"methods": ["no-such"]}, "no method “no-such”; choose from attention"),
        ({"metrics": ["no-such"]}, "no metric “no-such”; choose from deletion"),
        ({"out": "/no/such/folder/results.csv"}, "cannot be written"),
        ({"limit": 0}, "at least one photo"),
    ],
)
def test_bad_choices_get_one_sentence(
    vit: vitviz.Vit, folder: Path, chosen: dict[str, object], says: str
) -> None:
    with pytest.raises(vitviz.VitvizError, match=says):
        evaluate(vit, folder, **chosen)


def test_a_folder_without_photos(vit: vitviz.Vit, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(vitviz.VitvizError, match="no photo in"):
            evaluate(vit, folder)


def test_a_method_that_does_not_apply_is_named_and_the_others_go_on(folder: Path) -> None:
    vit = vitviz.from_module(random_classifier("siglip"))
    found = evaluate(vit, folder, methods=["legrad", "rollout"], metrics=["deletion"], limit=1)
    applies = not found.errors
    assert {s.method for s in found.summaries} >= {"rollout", "random"}
    assert applies or [e["method"] for e in found.errors] == ["legrad"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,x0,y0,x1\na.png,1,2,3\n", "Line 2 .* is not a box"),
        ("file,x0,y0,x1,y1\na.png,1,2,x,4\n", "Line 2 .* is not a box"),
        ("file,x0,y0,x1,y1\na.png,1,2,3\n", "Line 2 .* is not a box"),
        ("file,x0,y0,x1,y1\na.png,3,2,1,4\n", "Line 2 .* is an empty box"),
        ("file,x0,y0,x1,y1\na.png,1,2,3,4\na.png,1,2,3,4\n", "Line 3 .* is a second box"),
    ],
)
def test_boxes_that_are_none(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text(text)
    with pytest.raises(vitviz.VitvizError, match=says):
        read_boxes(file)


def test_boxes_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(vitviz.VitvizError, match="cannot be read as CSV"):
        read_boxes(tmp_path / "none.csv")


@pytest.mark.parametrize("count", [1, 2, 30, 500])
def test_the_interval_is_the_percentile_bootstrap(count: int) -> None:
    values = np.random.default_rng(count).normal(3, 2, count)
    low, high = bootstrap_interval(values)
    if count == 1:
        assert low == high == values[0]
        return
    expected = bootstrap(
        [values], np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    spread = values.std() / count**0.5
    assert low == pytest.approx(expected.low, abs=0.2 * spread)
    assert high == pytest.approx(expected.high, abs=0.2 * spread)


def test_the_command_prints_the_table_and_names_what_is_broken(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "z.png").write_text("not a photo")
    out = tmp_path / "results.csv"
    arguments = ["--methods", "gradcam", "--metrics", "pointing", "--out", str(out)]
    boxes = tmp_path / "boxes.csv"
    names = ("a.png", "b.png", "sub/c.PNG", "z.png")
    boxes.write_text("file,x0,y0,x1,y1\n" + "".join(f"{name},0,0,40,40\n" for name in names))
    code = main(["evaluate", str(folder), *arguments, "--boxes", str(boxes)])
    said = capsys.readouterr()
    assert code == 2
    assert "| Grad-CAM | 1.000 [1.000, 1.000] |" in said.out
    assert "vitviz: z.png: This is not an image" in said.err
    assert len(rows_of(out)) == 1 + 2 * 3
    (folder / "z.png").unlink()
    assert main(["evaluate", str(folder), *arguments, "--boxes", str(boxes), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == []


def test_the_summary_does_not_overwrite_the_rows(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(vitviz.VitvizError, match=r"name it results\.csv"):
        evaluate(vit, folder, out=tmp_path / "results.json")


def test_a_mask_with_transparency_is_refused(vit: vitviz.Vit, folder: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "sub/c.png"):
        file = tmp_path / "masks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGBA", (40, 40), (255, 255, 255, 0)).save(file)
    found = evaluate(
        vit, folder, methods=["attention"], metrics=["accuracy"], masks=tmp_path / "masks"
    )
    assert len(found.errors) == 3
    assert "transparency" in found.errors[0]["error"]


@pytest.fixture
def passes(vit: vitviz.Vit) -> list[int]:
    """How many photos the model is given, a batch a number."""
    sizes: list[int] = []
    vit.module.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    return sizes


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (["deletion"], 1 + (8 + 1) + 2 * (8 - 1)),  # both ends are the first curve's
        (["insertion"], 1 + (8 + 1) + 2 * (8 - 1)),
        (["deletion", "insertion"], 1 + (8 + 1) + 8 + 4 * (8 - 1)),  # the whole photo is known
        (["deletion", "positive", "saco"], 1 + (8 + 1) + 2 * (8 - 1) + 3 * 9 + 3 * 10),
    ],
)
def test_forward_passes_by_hand(
    vit: vitviz.Vit, folder: Path, passes: list[int], metrics: list[str], expected: int
) -> None:
    """One to record, then of three maps, two of them random."""
    chosen = {"methods": ["attention"], "metrics": metrics, "steps": 8, "seeds": 2}
    evaluate(vit, folder, **chosen, limit=1)
    assert sum(passes) == expected


def test_another_method_shares_ends_and_random_maps(
    vit: vitviz.Vit, folder: Path, passes: list[int]
) -> None:
    chosen = {"metrics": ["deletion"], "steps": 8, "seeds": 2, "limit": 1}
    evaluate(vit, folder, methods=["attention"], **chosen)
    one = sum(passes)
    evaluate(vit, folder, methods=["attention", "rollout"], **chosen)
    assert sum(passes) == 2 * one + (8 - 1)


def test_steps_and_seeds_are_those_of_the_measures(vit: vitviz.Vit, folder: Path) -> None:
    chosen = {"methods": ["attention"], "metrics": ["deletion"], "limit": 1}
    found = evaluate(vit, folder, **chosen, steps=3, seeds=4)
    rec = vitviz.record(vit, vitviz.load_image(folder / "a.png"))
    of_method, of_random = (summary.mean for summary in found.summaries)
    assert of_method == deletion(rec, vitviz.explain(rec, "attention"), steps=3).area
    areas = [deletion(rec, vitviz.explain(rec, "random", seed=n), steps=3).area for n in range(4)]
    assert of_random == pytest.approx(np.mean(areas))
    for wrong in ({"steps": 0}, {"seeds": 1}):
        with pytest.raises(vitviz.VitvizError, match="must be a"):
            evaluate(vit, folder, **chosen, **wrong)


def test_settings_of_the_defaults_are_those_of_earlier_tables() -> None:
    results = Results("mine", "0", ["deletion", "insertion", "saco", "pointing"], None)
    assert results.settings == {
        "deletion": {"steps": 32},
        "insertion": {"steps": 32, "blur": 0.045},
        "saco": {"groups": 10},
        "pointing": {},
        "random maps": 5,
    }


def test_progress_is_told_while_a_photo_is_measured(
    vit: vitviz.Vit, folder: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitviz.progress.TOKENS_AT_ONCE", 100)  # four photos of 25 tokens
    told: list[tuple[float, int]] = []
    evaluate(
        vit,
        folder,
        methods=["attention", "rollout"],
        metrics=["deletion", "saco"],
        progress=lambda share: told.append((share, sum(passes))),
    )
    shares, done = np.array(told).T
    assert (np.diff(shares) >= 0).all()
    assert shares[-1] == 1
    assert np.diff(done).max() <= 5  # and one to record the next photo
    np.testing.assert_allclose(shares, done / done[-1], atol=0.05)


def test_a_run_that_was_ended_within_a_photo_finds_the_same(
    vit: vitviz.Vit, folder: Path, tmp_path: Path
) -> None:
    chosen = {"methods": ["attention", "rollout"], "metrics": ["deletion", "insertion"]}
    expected = evaluate(vit, folder, **chosen)

    def end(share: float) -> None:
        if share > 0.45:
            raise KeyboardInterrupt

    out = tmp_path / "results.csv"
    with pytest.raises(KeyboardInterrupt):
        evaluate(vit, folder, **chosen, out=out, progress=end)
    assert len(rows_of(out)) == 1 + 3 + 2
    found = evaluate(vit, folder, **chosen, out=out)
    assert len(found.summaries) == len(expected.summaries)
    for mine, whole in zip(found.summaries, expected.summaries, strict=True):
        assert (mine.method, mine.metric, mine.photos) == (whole.method, whole.metric, 3)
        assert mine.mean == pytest.approx(whole.mean, abs=1e-6)
        assert mine.gain_interval == pytest.approx(whole.gain_interval, abs=1e-6)


def test_the_command_takes_steps_seeds_and_a_width(
    tiny_base: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.csv"
    asked = ["--methods", "attention", "--metrics", "deletion", "--model", str(tiny_base)]
    numbers = ["--steps", "3", "--seeds", "2", "--width", "0.5"]
    assert main(["evaluate", str(folder), *asked, *numbers, "--out", str(out)]) == 0
    assert "Not stopped early: all 3 photos were measured." in capsys.readouterr().out
    kept = json.loads(out.with_suffix(".json").read_text())
    assert kept["settings"] == {"deletion": {"steps": 3}, "random maps": 2}
    assert main(["evaluate", str(folder), *asked, "--steps", "0", "--out", str(out)]) == 2
    assert "number of steps must be" in capsys.readouterr().err


class TestTwoMethods:
    """Of the same photos, whose values differ more than the methods do."""

    def of(self, values: dict[str, list[float]], metric: str, width: float | None) -> Evaluation:
        rows = [
            {"photo": f"{number}.png", "method": method, metric: value}
            for method, found in values.items()
            for number, value in enumerate(found)
        ]
        one = Summary("relevance", metric, 3, 0.0, (0.0, 0.0), 0.0, (0.0, 0.0))
        return Evaluation([one], [], 3, 3, width, rows)

    @pytest.mark.parametrize(("metric", "sign"), [("deletion", 1), ("insertion", -1)])
    def test_a_difference_by_hand(self, metric: str, sign: int) -> None:
        values = {"rollout": [0.1, 0.5, 0.9], "relevance": [0.0, 0.4, 0.8]}
        found = self.of(values, metric, None).compare("relevance", "rollout")
        mean, interval = found[metric]
        assert mean == pytest.approx(sign * 0.1)  # deletion is good where it is low
        assert interval == pytest.approx((sign * 0.1, sign * 0.1))  # 0.1 on every photo

    def test_after_an_early_stop_the_interval_is_a_lasting_one(self) -> None:
        values = {"rollout": [0.2, 0.5, 0.9], "relevance": [0.1, 0.4, 0.9]}
        _, interval = self.of(values, "deletion", 0.5).compare("relevance", "rollout")["deletion"]
        assert interval == lasting_interval(np.array([0.1, 0.1, 0.0]), (-1, 1))

    def test_photos_of_one_method_alone_do_not_count(self) -> None:
        values = {"rollout": [0.2], "relevance": [0.1, 0.9, 0.9]}
        found = self.of(values, "deletion", None).compare("relevance", "rollout")
        assert found["deletion"][0] == pytest.approx(0.1)
        with pytest.raises(vitviz.VitvizError, match="No photo was measured with both"):
            self.of(values, "deletion", None).compare("relevance", "legrad")

    def test_the_gain_over_random_is_such_a_difference(
        self, vit: vitviz.Vit, folder: Path, tmp_path: Path
    ) -> None:
        chosen = {"methods": ["attention"], "metrics": ["deletion"], "steps": 3, "seeds": 2}
        found = evaluate(vit, folder, **chosen, out=tmp_path / "all.csv")
        assert found.summaries[0].gain == found.compare("attention", "random")["deletion"][0]
        with (tmp_path / "all.csv").open() as file:
            assert [(row["photo"], row["method"]) for row in csv.DictReader(file)] == [
                (row["photo"], row["method"]) for row in found.rows
            ]
        assert "rows" not in json.loads((tmp_path / "all.json").read_text())
