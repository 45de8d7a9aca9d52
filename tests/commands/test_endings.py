"""How a command ends: one sentence and its exit code, whatever output, disk and keyboard do."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitviz.commands import evaluate as evaluating
from vitviz.commands import finetune as tuning
from vitviz.commands import methods
from vitviz.commands.lock import locked
from vitviz.commands.main import main
from vitviz.measures import results
from vitviz.measures.results import Results

STRANGE = "tête 猫 \U0001f408 \udcff.png"  # the last letter stands for a byte that is no UTF-8


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "utf-8"])
@pytest.mark.parametrize("as_json", [False, True])
def test_printing_never_fails_for_an_encoding(
    encoding: str, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: object) -> tuple[object, str, bool]:
        print(STRANGE, file=sys.stderr)
        return {"photo": STRANGE}, STRANGE, False

    raw = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, buffer in raw.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(buffer, encoding=encoding))
    monkeypatch.setattr(methods, "_methods", answer)
    assert main(["methods", *(["--json"] if as_json else [])]) == 0
    said = raw["stdout"].getvalue().decode(encoding)
    if as_json:
        assert json.loads(said) == {"photo": STRANGE}
    else:
        assert said.endswith("\\udcff.png\n")
    sys.stderr.flush()
    assert raw["stderr"].getvalue().decode(encoding).endswith("\\udcff.png\n")


def test_help_in_an_encoding_without_its_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    with pytest.raises(SystemExit) as met:
        main(["explain", "--help"])
    assert met.value.code == 0


def test_a_photo_whose_name_is_no_text(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / STRANGE
    Image.effect_noise((40, 40), 90).save(photo)
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    call = ["explain", str(photo), "--model", str(tiny_base), "--out", str(tmp_path / "out")]
    assert main([*call, "--json"]) == 0
    [row] = json.loads(buffer.getvalue())
    assert row["photo"] == str(photo)
    assert Path(row["overlay"]).is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_results_on_a_full_disk(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["methods"]) == 2
        monkeypatch.undo()
    assert capsys.readouterr().err == "vitviz: No space left on device.\n"


@pytest.mark.parametrize("verb", ["methods", "models"])
def test_ctrl_c_ends_any_command_with_one_line(
    verb: str, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"vitviz.commands.{verb}._{verb}", interrupted)
    assert main([verb]) == 130
    assert capsys.readouterr().err == "vitviz: interrupted; nothing is written.\n"


def photos_in(folder: Path, names: tuple[str, ...] = ("a.png", "b.png")) -> Path:
    for n, name in enumerate(names):
        pixels = np.random.default_rng(n).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.fixture
def measuring(tiny_base: Path, tmp_path: Path) -> list[str]:
    folder = photos_in(tmp_path / "photos")
    out = ["--model", str(tiny_base), "--out", str(tmp_path / "results.csv")]
    return ["evaluate", str(folder), "--methods", "attention", "--metrics", "saco", *out]


def lines_of(tmp_path: Path) -> list[str]:
    return (tmp_path / "results.csv").read_text().splitlines()


def test_an_interrupted_evaluation_keeps_its_rows(
    measuring: list[str], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(self: Results, *row: object) -> None:
        if self.rows:
            raise KeyboardInterrupt
        real(self, *row)

    real = Results.add
    with monkeypatch.context() as patch:
        patch.setattr(Results, "add", add)
        assert main(measuring) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "vitviz: interrupted; the same command goes on."
    assert len(lines_of(tmp_path)) == 2
    kept = lines_of(tmp_path)[1]
    assert main(measuring) == 0
    assert kept in lines_of(tmp_path)
    assert len(lines_of(tmp_path)) == 1 + 2 * 2


def test_a_full_disk_keeps_the_rows(
    measuring: list[str], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row that did not fit is cut; the same command goes on."""
    real = Results._line

    class Full(list):
        def __iter__(self):
            (tmp_path / "results.csv").open("a").write("a.png,12")
            raise OSError(28, "No space left on device")

    def line(self: Results, *key: object) -> list:
        return Full() if len(self.rows) == 2 else real(self, *key)

    with monkeypatch.context() as patch:
        patch.setattr(Results, "_line", line)
        assert main(measuring) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("results.csv cannot be written: No space left on device.")
    assert len(lines_of(tmp_path)) == 3
    assert main(measuring) == 0
    assert len(lines_of(tmp_path)) == 1 + 2 * 2


def test_a_lost_folder_of_results(measuring: list[str], tmp_path: Path, capsys) -> None:
    measuring[-1] = str(tmp_path / "lost" / "results.csv")
    real = results.Results.add

    def add(self: Results, *row: object) -> None:
        real(self, *row)
        (tmp_path / "lost").rename(tmp_path / "found")

    with pytest.MonkeyPatch.context() as patch:
        (tmp_path / "lost").mkdir()
        patch.setattr(Results, "add", add)
        assert main(measuring) == 2
    assert "cannot be written: No such file or directory." in capsys.readouterr().err
    assert (tmp_path / "found" / "results.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("verb", ["evaluate", "finetune"])
def test_two_runs_do_not_mix(
    verb: str, measuring: list[str], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "finetune", lambda *_, **__: pytest.fail("it began"))
    monkeypatch.setattr(evaluating, "evaluate", lambda *_, **__: pytest.fail("it began"))
    out = tmp_path / "results.csv"
    if verb == "finetune":
        measuring = ["finetune", measuring[1], "--out", str(out)]
    with locked(tmp_path / ".results.csv.lock", out):
        assert main(measuring) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"vitviz: Another run writes to {out} just now; wait for its end, or name another place."
    )


def test_results_cut_anywhere_are_taken_up(tmp_path: Path) -> None:
    """Whole rows are kept, with their numbers, and nothing of a row that is cut."""
    file = tmp_path / "results.csv"
    names = ("tête.png", "two\nlines, and “quotes”.png", "猫.png")
    whole, ends = Results("mine", "0" * 8, ["deletion", "saco"], file), []
    for n, name in enumerate(names):
        whole.add((name, f"{n:04}"), "rollout", {"deletion": n / 3, "saco": -n / 7})
        ends.append(file.stat().st_size)
    data = file.read_bytes()
    for end in range(len(data) + 1):
        file.write_bytes(data[:end])
        found = Results("mine", "0" * 8, ["deletion", "saco"], file)
        rows = sum(row_end <= end for row_end in ends)
        assert list(found.rows.items()) == list(whole.rows.items())[:rows]
        assert file.read_bytes() == data[: ends[rows - 1] if rows else data.index(b"\n") + 1]


def test_results_for_somebody_who_has_gone(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["methods"]) == 0
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_an_error_of_the_disk_names_the_file(
    capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lost(_: object) -> None:
        (tmp_path / "no" / "file").read_text()

    monkeypatch.setattr(methods, "_methods", lost)
    assert main(["methods"]) == 2
    expected = f"vitviz: {tmp_path / 'no' / 'file'}: No such file or directory.\n"
    assert capsys.readouterr().err == expected
