"""Fine-tuning on a folder: broken photos, bad input, and the report."""

from __future__ import annotations

import json
import re
import struct
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from colour_photos import COLOURS, QUICK, write_photo

import vitviz
from vitviz.commands.main import main


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 900 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_broken_photos_are_listed_and_skipped(tiny_base: Path, tmp_path: Path, capsys) -> None:
    generator = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for number in range(4):
            write_photo(tmp_path / "photos" / name / f"{number}.png", colour, generator)
    odd = tmp_path / "photos" / "<b>&amp;"
    for number in range(3):
        write_photo(odd / f"{number}.png", (90, 90, 90), generator)
    (odd / "<script>x.jpg").write_bytes(b"no photo")
    (odd / "bomb.png").write_bytes(bomb())
    (odd / "notes.txt").write_text("not looked at")
    out = tmp_path / "mine"
    call = ["finetune", str(tmp_path / "photos"), "--base", str(tiny_base), "--out", str(out)]
    assert main([*call, "--epochs", "1", "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    skipped = {s["file"]: s["error"] for s in result["skipped"]}
    assert set(skipped) == {"<b>&amp;/<script>x.jpg", "<b>&amp;/bomb.png"}
    assert "not an image" in skipped["<b>&amp;/<script>x.jpg"]
    assert "megapixels" in skipped["<b>&amp;/bomb.png"]
    assert all(f"skipped {name}: " in printed.err for name in skipped)
    assert result["photos"] == [3, 4, 4, 4]
    assert result["labels"] == ["<b>&amp;", *COLOURS]

    report = (out / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(report)
    assert "script" not in tags.names
    assert "b" not in tags.names
    assert {"<b>&amp;", "<b>&amp;/<script>x.jpg"} <= set(tags.texts)
    assert tags.sources
    assert all(source.startswith("data:image/") for source in tags.sources)
    assert not re.search(r"url\(|@import|href=", report)


class Tags(HTMLParser):
    """Names of the elements, their texts, and all addresses of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def test_the_report_says_what_was_measured(
    colour_folder: Path, tiny_base: Path, tmp_path: Path
) -> None:
    found = vitviz.finetune(
        colour_folder, tmp_path, replace(QUICK, train=1, entropy=0.1), base=tiny_base
    )
    tags = Tags()
    tags.feed(found.report.read_text(encoding="utf-8"))
    assert f"{found.accuracy:.1%}" in tags.texts
    assert f"{found.best_epoch + 1} of 3" in tags.texts
    assert "Attention entropy of the class token" in tags.texts
    for label, share in zip(found.labels, found.class_accuracy, strict=True):
        assert tags.texts[tags.texts.index(label) + 3] == f"{share:.1%}"
    wrong = found.held_out - sum(row[i] for i, row in enumerate(found.confusion))
    assert len(tags.sources) == 5 + 4 * (6 + min(6, wrong))  # charts; photos with three maps


def test_bad_input_ends_with_two_and_one_sentence(tiny_base: Path, tmp_path: Path, capsys) -> None:
    generator = np.random.default_rng(0)
    two = tmp_path / "two"
    for name in ("ant", "bee"):
        for number in range(3):
            write_photo(two / name / f"{number}.png", COLOURS["red"], generator)
    few, one, broken = (tmp_path / name for name in ("few", "one", "broken"))
    (tmp_path / "nothing" / ".hidden").mkdir(parents=True)
    write_photo(one / "ant" / "1.png", COLOURS["red"], generator)
    write_photo(few / "ant" / "1.png", COLOURS["red"], generator)
    (few / "bee").mkdir()
    for name in ("ant", "bee"):
        write_photo(broken / name / "1.png", COLOURS["red"], generator)
        write_photo(broken / name / "2.png", COLOURS["red"], generator)
    (broken / "bee" / "2.png").write_bytes(b"")
    file = tmp_path / "file"
    file.touch()
    cases: list[tuple[Path, list[str], str]] = [
        (tmp_path / "missing", [], "is not a folder"),
        (file, [], "is not a folder"),
        (tmp_path / "nothing", [], "has no sub-folders"),
        (one, [], "only one class, “ant”"),
        (few, [], "“ant” has 1 usable photos; each class needs at least 2"),
        (broken, [], "“bee” has 1 usable photos (1 files were skipped)"),
        (two, ["--train", "some"], "train must be"),
        (two, ["--train", "0"], "train must be"),
        (two, ["--train", "4"], "has 3 blocks"),
        (two, ["--epochs", "0"], "epochs must be"),
        (two, ["--rate", "nan"], "rate must be"),
        (two, ["--hold-out", "1"], "hold_out must be"),
        (two, ["--augment", "blur"], "augment must be"),
        (two, ["--entropy", "1"], "a block to be trained"),
        (two, ["--base", "nonsense"], "There is no model"),
        (two, ["--out", str(file / "x")], "cannot be made"),
    ]
    for photos, arguments, says in cases:
        call = ["finetune", str(photos), "--base", str(tiny_base), "--out", str(tmp_path / "mine")]
        assert main([*call, *arguments]) == 2, says
        printed = capsys.readouterr()
        assert printed.out == ""
        [sentence] = [line for line in printed.err.splitlines() if line.startswith("vitviz: ")]
        assert says in sentence
        assert not (tmp_path / "mine" / "config.json").exists()
