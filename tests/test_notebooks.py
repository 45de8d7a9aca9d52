"""The lessons' notebooks: their assertions hold, and they print what is stored in them."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

import vitviz
from vitviz.ui.course.lesson import NOTEBOOKS
from vitviz.ui.visit.order import COURSE

ROOT = Path(__file__).parent.parent
PATHS = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
CHINESE = re.compile("[一-鿿]")


@pytest.fixture(scope="module", autouse=True)
def _models_are_loaded_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("load_model", "load_text_model"):
            patch.setattr(vitviz, name, cache(getattr(vitviz, name)))
        yield


def read(name: str) -> Any:
    return nbformat.read(PATHS[name], as_version=4)


def printed(cell: Any) -> str:
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


def test_each_is_that_of_a_lesson() -> None:
    assert PATHS
    assert set(PATHS) <= set(COURSE)


@pytest.mark.parametrize("name", PATHS)
def test_it_prints_what_is_stored_and_its_assertions_hold(name: str) -> None:
    known: dict[str, Any] = {}
    for number, cell in enumerate(read(name).cells):
        if cell.cell_type == "code":
            with redirect_stdout(StringIO()) as said:
                exec(compile(cell.source, f"{name}, cell {number}", "exec"), known)
            assert said.getvalue() == printed(cell), f"cell {number}"


@pytest.mark.parametrize("name", PATHS)
def test_it_is_small_and_in_both_languages(name: str) -> None:
    cells = read(name).cells
    kinds = [cell.cell_type for cell in cells]
    assert kinds == ["markdown", "code"] * (len(cells) // 2)
    for cell in cells[::2]:
        english, chinese = cell.source.split("\n\n")[-2:]
        assert not CHINESE.search(english)
        assert CHINESE.search(chinese)
    outputs = [out for cell in cells[1::2] for out in cell.outputs]
    kinds = {out.get("name", out.output_type) for out in outputs}
    assert kinds <= {"stdout", "execute_result"}  # and no warning of the machine that ran it
    assert any(printed(cell) for cell in cells[1::2])
    assert PATHS[name].stat().st_size < 60_000


def test_a_kernel_runs_it_and_shows_a_recording_as_its_page_and_a_heatmap_as_its_overlay() -> None:
    notebook = read("attention")
    shown = [
        "import vitviz\nrec = vitviz.record(vitviz.load_model(), vitviz.samples()[0].path)\nrec",
        "vitviz.explain(rec, 'rollout')",
    ]
    notebook.cells += map(nbformat.v4.new_code_cell, shown)
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(ROOT)}}).execute()
    cells = notebook.cells[1:-2:2]
    said = "".join(map(printed, cells))
    assert "weights [0.58, 0.21, 0.21]" in said
    assert "output  [0.79, 0.42]" in said
    assert any("image/png" in out.get("data", {}) for out in cells[-1].outputs)
    page, overlay = (cell.outputs[-1].data for cell in notebook.cells[-2:])
    assert page["text/html"].startswith("<iframe")
    assert page["text/plain"].startswith("<Recording of ")
    assert "\n" not in page["text/plain"]
    picture = Image.open(BytesIO(b64decode(overlay["image/png"])))
    assert picture.size == vitviz.load_image(vitviz.samples()[0].path).size
