"""The files that `vitviz explain` writes: none overwrites another, and names tell them apart."""

from __future__ import annotations

import io
import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import vitviz
from vitviz.commands import explain as command
from vitviz.commands import finetune as tuning
from vitviz.commands.lock import locked
from vitviz.commands.main import main
from vitviz.photos.folder import Skipped


@pytest.fixture
def explained(tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs the command with a small model; gives its exit code and rows."""

    def run(*arguments: object) -> tuple[int, list[dict]]:
        call = ["explain", *map(str, arguments), "--model", str(tiny_base), "--json"]
        code = main([*call, "--out", str(tmp_path / "out")])
        return code, json.loads(capsys.readouterr().out)

    return run


def photo_of(file: Path, seed: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40 + seed, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


@pytest.mark.parametrize(
    "names",
    [
        ("cat.png", "cat.png", "cat.png"),
        ("cat.png", "Cat.png", "CAT.png"),
        ("cat.png", "cat.png", "cat-2.png", "cat-3.png", "cat-2.png"),
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("straße.png", "STRASSE.png"),
        ("cat.png", "cat.bmp"),
    ],
)
def test_photos_of_one_name_do_not_overwrite_each_other(
    names: tuple[str, ...], explained, tmp_path: Path
) -> None:
    photos = [photo_of(tmp_path / str(n) / name, n) for n, name in enumerate(names)]
    code, rows = explained(*photos)
    assert code == 0
    assert [Image.open(row["overlay"]).width for row in rows] == [40 + n for n in range(len(names))]
    for kind in ("overlay", "values"):
        assert len({Path(row[kind]).name.casefold() for row in rows}) == len(names)


def test_a_name_that_is_alone_stays(explained, tmp_path: Path) -> None:
    """Also where the numbered name of another photo would be the same."""
    names = ("cat.png", "cat.png", "cat-2.png")
    _, rows = explained(*(photo_of(tmp_path / str(n) / name, n) for n, name in enumerate(names)))
    written = [Path(row["overlay"]).stem for row in rows]
    assert written == ["cat_rollout", "cat-3_rollout", "cat-2_rollout"]


def test_a_later_run_overwrites_its_own_files_and_no_others(explained, tmp_path: Path) -> None:
    first, second = (photo_of(tmp_path / name / "cat.png", n) for n, name in enumerate("ab"))
    _, [before] = explained(first)
    _, [other] = explained(second)
    _, [again] = explained(first)
    assert before == again
    assert Path(other["overlay"]).name == "cat_rollout-2.png"
    _, [other_again] = explained(second)
    assert other_again == other


def test_what_is_no_file_of_ours_stays(explained, tmp_path: Path) -> None:
    there = tmp_path / "out" / "CAT_rollout.npz"
    there.parent.mkdir()
    there.write_bytes(b"")
    _, [row] = explained(photo_of(tmp_path / "cat.png", 1))
    assert Path(row["values"]).name == "cat_rollout-2.npz"
    assert there.read_bytes() == b""


def test_names_tell_layer_head_patch_and_class_apart(explained, tmp_path: Path) -> None:
    photo = photo_of(tmp_path / "cat.png", 0)
    asked = {
        ("--method", "attention", "--layer", "-1", "--head", "2"): "attention_layer-2_head-2",
        ("--method", "attention", "--query", "1,3"): "attention_query-1-3",
        ("--method", "relevance", "--target", "3"): "relevance_target-3",
        ("--method", "relevance", "--target", "3", "--versus", "1"): "relevance_target-3_versus-1",
        ("--fusion", "max", "--discard", ".5"): "rollout_fusion-max_discard-0.5",
        ("--whole",): "rollout_whole",
    }
    for arguments, name in asked.items():
        _, [row] = explained(photo, *arguments)
        assert Path(row["overlay"]).name == f"cat_{name}.png"


def test_a_photo_from_standard_input(explained, tmp_path: Path, monkeypatch) -> None:
    file = photo_of(tmp_path / "cat.png", 3)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(file.read_bytes())))
    code, [row] = explained("-")
    assert (code, Path(row["overlay"]).name) == (0, "stdin_rollout.png")
    _, [same] = explained(file)
    assert same["predictions"] == row["predictions"]


def test_stretched_greys_are_said(explained, tmp_path: Path, tiny_base: Path, capsys) -> None:
    values = np.tile(np.linspace(0, 4095, 40).astype(np.uint16), (40, 1))
    Image.fromarray(values).save(tmp_path / "xray.png")
    _, [row] = explained(tmp_path / "xray.png")
    assert row["stretched"] == [0, 4095]
    out = ["--model", str(tiny_base), "--out", str(tmp_path / "out")]
    assert main(["explain", str(tmp_path / "xray.png"), *out]) == 0
    assert "greys stretched from 0 to 4095" in capsys.readouterr().out


def test_a_lost_folder_ends_the_run_with_what_was_finished(
    explained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [photo_of(tmp_path / f"{n}.png", n) for n in range(3)]
    real, moved = command.record, tmp_path / "moved"

    def record(*args: object, **named: object) -> vitviz.Recording:
        if (tmp_path / "out" / "0_rollout.npz").exists():
            (tmp_path / "out").rename(moved)
        return real(*args, **named)

    monkeypatch.setattr(command, "record", record)
    code, [done, failed] = explained(*photos)
    assert code == 2
    assert (moved / Path(done["values"]).name).exists()
    assert "1_rollout.png cannot be written: No such file" in failed["error"]


def test_a_full_disk_leaves_no_half_a_file(
    explained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: io.BufferedWriter, **_: object) -> None:
        file.write(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(np, "savez_compressed", full)
    code, [row] = explained(photo_of(tmp_path / "cat.png", 0))
    assert (code, row["error"].endswith("npz cannot be written: No space left on device.")) == (
        2,
        True,
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cat_rollout.png"]


def test_an_interrupted_run_has_written_what_it_had(
    tiny_base: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [str(photo_of(tmp_path / f"{n}.png", n)) for n in range(3)]
    real, asked = command.record, []

    def record(*args: object, **named: object) -> vitviz.Recording:
        asked.append(args)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(*args, **named)

    monkeypatch.setattr(command, "record", record)
    call = ["--model", str(tiny_base), "--out", str(tmp_path / "out"), "--json"]
    assert main(["explain", *photos, *call]) == 130
    said = capsys.readouterr()
    assert [row["photo"] for row in json.loads(said.out)] == photos[:2]
    assert said.err.splitlines()[-1] == "vitviz: interrupted; what was finished is written."
    assert "Traceback" not in said.err


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, tiny_base: Path, capsys) -> None:
    photo = photo_of(tmp_path / "cat.png", 0)
    out = tmp_path / "out"
    out.mkdir()
    call = ["explain", str(photo), "--model", str(tiny_base), "--out", str(out)]
    with locked(out / ".lock", out):
        assert main(call) == 2
        assert [p.name for p in out.iterdir()] == [".lock"]
    assert "Another run writes to" in capsys.readouterr().err
    assert list(out.iterdir()) == []
    assert main(call) == 0


def test_a_lock_leaves_nothing_and_lets_nobody_in_who_waited_at_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run opens the file while the first holds it, and tries to lock it afterwards."""
    fcntl = pytest.importorskip("fcntl")  # elsewhere filelock removes the file by itself
    file, real, holding = tmp_path / ".lock", fcntl.flock, ExitStack()

    def at_last(opened: int, how: int) -> None:
        monkeypatch.undo()
        holding.close()
        real(opened, how)
        holding.enter_context(locked(file, tmp_path))  # a third, which has a file of its own

    holding.enter_context(locked(file, tmp_path))
    monkeypatch.setattr(fcntl, "flock", at_last)
    with holding:
        with pytest.raises(vitviz.VitvizError, match="Another run"), locked(file, tmp_path):
            pytest.fail("two runs hold the lock")
        assert file.exists()
    assert not file.exists()


class TestANameWithALineBreakStaysInOneLine:
    def test_of_explain(
        self, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        photos = [photo_of(tmp_path / "two\nlines.png", 0), tmp_path / "no\nphoto.png"]
        common = ["--model", str(tiny_base), "--out", str(tmp_path / "out")]
        main(["explain", *map(str, photos), *common])
        lines = capsys.readouterr().out.strip().split("\n")
        assert [line.partition(":")[0] for line in lines] == [
            str(photo).replace("\n", "\\n") for photo in photos
        ]

    def test_of_evaluate(
        self, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        photo_of(tmp_path / "photos" / "whole.png", 0)
        (tmp_path / "photos" / "no\nphoto.png").write_bytes(b"none")
        asked = ["--methods", "random", "--metrics", "saco", "--model", str(tiny_base)]
        out = str(tmp_path / "out.csv")
        assert main(["evaluate", str(tmp_path / "photos"), *asked, "--out", out]) == 2
        [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("vitviz:")]
        assert line.startswith("vitviz: no\\nphoto.png: This is not an image")

    def test_of_models(
        self, tiny_base: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(tiny_base, tmp_path / "two\nlines")
        (tmp_path / "bro\nken").mkdir()
        (tmp_path / "bro\nken" / "config.json").write_text("{")
        monkeypatch.setenv("VITVIZ_MODELS", str(tmp_path))
        assert main(["models"]) == 0
        printed = capsys.readouterr()
        assert any(line.startswith("two\\nlines  (here") for line in printed.out.splitlines())
        assert printed.err.startswith("vitviz: skipped bro\\nken: ")
        assert printed.err.count("\n") == 1

    def test_of_finetune(
        self, colour_folder: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "my\nmodel"
        skipped = (Skipped("red/no\nphoto.png", "This is no image."),)
        done = SimpleNamespace(out=out, report=out / "report.html", skipped=skipped)
        numbers = {"held_out": 4, "accuracy": 0.75, "class_accuracy": {}}
        monkeypatch.setattr(tuning, "finetune", lambda *_, **__: done)
        monkeypatch.setattr(tuning, "asdict", lambda _: {})
        vars(done).update(numbers)
        assert main(["finetune", str(colour_folder), "--out", str(out)]) == 0
        printed = capsys.readouterr()
        assert "vitviz: skipped red/no\\nphoto.png: This is no image." in printed.err
        [line] = printed.out.splitlines()
        assert line.startswith(str(out).replace("\n", "\\n"))

    def test_of_an_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["evaluate", "no\nfolder", "--out", str(tmp_path / "x.csv")]) == 2
        assert "There is no photo in no\\nfolder;" in capsys.readouterr().err
