"""The command line, run as a user would, on the bundled model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fake_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image

import vitviz
from vitviz.commands.main import main
from vitviz.zoo.catalogue import CURATED

CAT, COFFEE = (next(s.path for s in vitviz.samples() if s.id == key) for key in ("cat", "coffee"))


def test_explain_writes_what_the_library_computes(tmp_path: Path, capsys) -> None:
    arguments = ["--method", "attention", "--layer", "6", "--head", "2", "--query", "3,4"]
    code = main(["explain", str(CAT), "--out", str(tmp_path / "new" / "out"), "--json", *arguments])
    [result] = json.loads(capsys.readouterr().out)
    photo = vitviz.load_image(CAT)
    rec = vitviz.record(vitviz.load_model(), photo)
    heat = vitviz.explain(rec, "attention", (3, 4), layer=6, head=2)
    assert code == 0
    assert result["predictions"][0]["label"] == rec.predictions[0].label
    with np.load(result["values"]) as archive:
        np.testing.assert_array_equal(archive["values"], heat.values)
        np.testing.assert_allclose(archive["box"], heat.box)
    written = np.asarray(Image.open(result["overlay"]))
    np.testing.assert_array_equal(written, np.asarray(vitviz.overlay(photo, heat)))


def test_the_readmes_rollout_is_the_command_lines(tmp_path: Path, capsys) -> None:
    arguments = ["--method", "rollout", "--fusion", "max", "--discard", "0.5"]
    assert main(["explain", str(CAT), "--out", str(tmp_path), "--json", *arguments]) == 0
    [result] = json.loads(capsys.readouterr().out)
    rec = vitviz.record(vitviz.load_model(), vitviz.load_image(CAT))
    heat = vitviz.explain(rec, "rollout", fusion="max", discard=0.5)
    assert heat.made_from is not None
    assert result["options"] == heat.made_from.options
    with np.load(result["values"]) as archive:
        np.testing.assert_array_equal(archive["values"], heat.values)
        assert archive["weights"] == heat.made_from.weights


def test_every_option_of_every_method_is_an_argument(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its smallest value or first choice, which the library then gets as such."""
    asked: list[tuple[str, dict[str, object]]] = []

    def explain(_: object, method: str, *__: object, versus: object, **options: object) -> None:
        del versus
        asked.append((method, options))
        raise vitviz.MethodError("enough", "That is enough.")

    monkeypatch.setattr("vitviz.commands.explain.explain", explain)
    monkeypatch.setattr("vitviz.commands.explain.record", lambda *_, **__: None)
    expected = []
    for id, method in vitviz.METHODS.items():
        options = {name: (o.range or [1])[0] for name, o in method.options.items()}
        arguments = [part for name in options for part in (f"--{name}", str(options[name]))]
        main(["explain", str(CAT), "--method", id, "--out", str(tmp_path), *arguments])
        expected.append((id, options))
    assert asked == expected
    assert {name for _, options in asked for name in options} == {
        "layer", "head", "fusion", "discard", "artefacts", "start", "residual", "window", "stride",
        "seed", "steps", "samples", "noise", "pairs", "side", "scored", "clamped",
    }  # fmt: skip
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["explain", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "discard ratio from 0.0 to 0.95, default 0.0 (rollout, gradient_rollout)" in text
    assert "heads fused by: mean, max, min, default mean (rollout)" in text
    assert "head, default the mean of all (attention, pooling)" in text


def test_a_figure_of_several_photos_and_methods(tmp_path: Path, capsys) -> None:
    file = tmp_path / "figure.svg"
    several = ["--method", "rollout", "--method", "relevance", "--discard", "0.5"]
    call = ["explain", str(CAT), str(COFFEE), *several, "--target", "espresso"]
    assert main([*call, "--figure", str(file), "--out", str(tmp_path / "out"), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [Path(result["photo"]).stem for result in results] == ["cat", "cat", "coffee", "coffee"]
    assert [result["method"] for result in results] == ["rollout", "relevance"] * 2
    assert results[0]["options"]["discard"] == 0.5
    assert "target" not in Path(results[0]["overlay"]).name
    assert "target" in Path(results[1]["overlay"]).name
    written = file.read_text()
    titles = [vitviz.METHODS[id].title.split()[0] for id in ("rollout", "relevance")]
    assert all(f">{title}" in written for title in ("cat.jpg", "coffee.jpg", *titles))
    assert written.count("<image") >= 4


def test_a_figure_of_another_ending_is_refused_at_once(tmp_path: Path, capsys) -> None:
    call = ["explain", str(CAT), "--figure", "figure.gif", "--out", str(tmp_path / "out")]
    assert main(call) == 2
    assert "NAME.pdf" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_several_photos_of_one_name_do_not_overwrite_each_other(tmp_path: Path, capsys) -> None:
    for folder, source in (("a", CAT), ("b", COFFEE)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.jpg").write_bytes(source.read_bytes())
    paths = [str(tmp_path / folder / "same.jpg") for folder in "ab"]
    assert main(["explain", *paths, "--out", str(tmp_path / "out"), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert len({r["overlay"] for r in results}) == 2
    assert Image.open(results[1]["overlay"]).size == Image.open(COFFEE).size


def test_a_broken_photo_is_reported_and_the_others_go_on(tmp_path: Path, capsys) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    code = main(["explain", str(bad), str(CAT), "--out", str(tmp_path / "out"), "--json"])
    broken, fine = json.loads(capsys.readouterr().out)
    assert code == 2
    assert "not an image" in broken["error"]
    assert Path(fine["overlay"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method", "nonsense"], "There is no method"),
        (["--model", "nonsense"], "There is no model"),
        (["--target", "unicorn"], "no class “unicorn”"),
        (["--target", "zzzz"], "give a class name or its index"),
        (["--target", "expreso"], "did you mean “espresso”"),
        (["--versus", "egyptian cats"], "did you mean “Egyptian cat”"),
        (["--target", "1000"], "no class “1000”"),
        (["--out", str(CAT)], "cannot be made"),
        (["--window", "3"], "Attention rollout has no option window; its options: fusion"),
        (
            ["--method", "relevance", "--seed", "1"],
            "Relevance has no option seed; its options: none.",
        ),
    ],
)
def test_bad_input_ends_with_two_and_one_sentence(
    arguments: list[str], says: str, tmp_path: Path, capsys
) -> None:
    assert main(["explain", str(CAT), "--out", str(tmp_path), *arguments]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fusion", "sum"], "must be mean, max, min, not 'sum'"),
        (["--discard", "half"], "from 0.0 to 0.95, not 'half'"),
        (["--start", "1.5"], "from 0 to 11, not '1.5'"),
    ],
)
def test_values_that_an_option_does_not_take(
    arguments: list[str], says: str, tmp_path: Path, capsys
) -> None:
    assert main(["explain", str(CAT), "--out", str(tmp_path), *arguments]) == 2
    assert says in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--query", "99,0"], ["--layer", "99"], ["--head", "99"]])
def test_options_that_do_not_fit_the_model(arguments: list[str], tmp_path: Path, capsys) -> None:
    call = ["explain", str(CAT), "--method", "attention", "--out", str(tmp_path), *arguments]
    assert main(call) == 2
    assert "99" in capsys.readouterr().out


def test_a_class_by_name_against_one_by_index(tmp_path: Path, capsys) -> None:
    arguments = ["--method", "relevance", "--target", "EGYPTIAN CAT", "--versus", "239"]
    assert main(["explain", str(CAT), "--out", str(tmp_path), "--json", *arguments]) == 0
    [result] = json.loads(capsys.readouterr().out)
    rec = vitviz.record(vitviz.load_model(), vitviz.load_image(CAT))
    target = rec.vit.labels.index("Egyptian cat")
    heat = vitviz.explain(rec, "relevance", target=target, versus=239)
    with np.load(result["values"]) as archive:
        np.testing.assert_array_equal(archive["values"], heat.values)


def test_a_class_where_the_method_has_none_is_reported(tmp_path: Path, capsys) -> None:
    call = ["explain", str(CAT), "--target", "espresso", "--out", str(tmp_path)]
    assert main(call) == 2
    assert "same for every class" in capsys.readouterr().out


def test_models_and_methods_list_what_the_library_has(capsys) -> None:
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    here = [m["name"] for m in listed if m["here"]]
    assert here[: len(vitviz.bundled_models())] == vitviz.bundled_models()
    assert [m["name"] for m in listed if m["default"]] == here[:1]
    assert {m["name"] for m in listed} >= set(CURATED)
    assert main(["models", "mae", "VIT_"]) == 0
    assert capsys.readouterr().out.startswith(
        "vit_base_patch16_224.mae  (86 M parameters, cc-by-nc"
    )
    assert main(["methods", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [m["id"] for m in listed] == list(vitviz.METHODS)
    assert all(m["applies_to"].endswith(".") for m in listed)
    described = {m["id"]: m["options"] for m in listed}
    assert described["rollout"]["discard"] == {
        "title": "Discard ratio", "kind": "number", "default": 0.0, "range": [0.0, 0.95],
    }  # fmt: skip
    assert described["rollout"]["fusion"]["range"] == ["mean", "max", "min"]
    assert described["occlusion"]["window"]["kind"] == "whole number"
    assert described["attention"]["layer"] == {
        "title": "Layer", "kind": "layer", "default": -1, "range": None,
    }  # fmt: skip
    assert main(["methods"]) == 0
    assert capsys.readouterr().out.count("\n") == len(vitviz.METHODS)


def test_a_file_of_weights_by_its_architecture(tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    small = timm.create_model("vit_tiny_patch16_224", num_classes=2)
    torch.save(small.state_dict(), tmp_path / "mine.pth")
    call = ["explain", str(CAT), "--model", str(tmp_path / "mine.pth"), "--out", str(tmp_path)]
    assert main(call) == 2
    assert "--architecture" in capsys.readouterr().err
    assert main([*call, "--architecture", "vit_tiny_patch16_224", "--json"]) == 0
    [result] = json.loads(capsys.readouterr().out)
    assert result["model"] == "mine"
    assert len(result["predictions"]) == 2


def test_fetch_writes_a_folder_that_loads_and_shows_the_licence_first(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_hub.running(fake_hub.weights()) as hub:
        fake_hub.use(hub.address, tmp_path / "cache", monkeypatch)
        monkeypatch.setenv("VITVIZ_MODELS", str(tmp_path / "models"))
        assert main(["fetch", fake_hub.NAME, "--json"]) == 0
    captured = capsys.readouterr()
    assert f"fetching {fake_hub.NAME}; its licence: apache-2.0" in captured.err
    folder = tmp_path / "models" / fake_hub.NAME
    assert json.loads(captured.out) == {"folder": str(folder)}
    assert main(["models"]) == 0
    assert f"{fake_hub.NAME}  (here, 10 M parameters, apache-2.0)" in capsys.readouterr().out
    assert vitviz.load_model(fake_hub.NAME).name == fake_hub.NAME
    assert main(["fetch", fake_hub.NAME]) == 0
    assert f"It is here: {folder}" in capsys.readouterr().out


def test_what_cannot_be_fetched_ends_with_two_and_one_sentence(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub.use("http://127.0.0.1:9", tmp_path / "cache", monkeypatch)
    assert main(["fetch", fake_hub.NAME, "--out", str(tmp_path)]) == 2
    assert "cannot be reached" in capsys.readouterr().err
    assert main(["fetch", "vit_tinny_patch16_224", "--out", str(tmp_path)]) == 2
    assert "did you mean “vit_tiny_patch16_224”" in capsys.readouterr().err


def test_the_module_runs_and_shows_progress_on_standard_error_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vitviz", "explain", str(CAT), "--out", str(tmp_path)]
    root = Path(vitviz.__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.count("\n") == 1
    assert "1/1" in done.stderr


def test_a_search_without_a_find_says_so(capsys) -> None:
    assert main(["models", "zzzz", "yyyy"]) == 0
    assert "No pretrained model of timm has “zzzz yyyy” in its name." in capsys.readouterr().out
    assert main(["models", "zzzz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_family_that_is_not_known_is_named(capsys) -> None:
    assert main(["coverage", "--families", "Swin", "Nope"]) == 2
    assert "There is no family “Nope”; choose from: " in capsys.readouterr().err


def test_a_lost_folder_is_said_before_the_families_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitviz.commands.coverage.cover_family", pytest.fail)
    assert main(["coverage", "--out", str(tmp_path / "lost" / "page.md")]) == 2
    assert main(["coverage", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("before", [None, "The page of an earlier run.\n"])
def test_a_coverage_run_that_is_broken_off_leaves_its_page_as_it_was(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    page = tmp_path / "page.md"
    if before is not None:
        page.write_text(before)
    monkeypatch.setattr("vitviz.commands.coverage.cover_family", stop)
    assert main(["coverage", "--families", "Swin", "--out", str(page)]) == 130
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == (
        {} if before is None else {"page.md": before}
    )
