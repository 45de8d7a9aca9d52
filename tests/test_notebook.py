"""The notebook runs from its first cell to its last, and its own assertions hold."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


def test_it_runs_and_its_assertions_hold() -> None:
    notebook = nbformat.read(ROOT / "docs" / "attention.ipynb", as_version=4)
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(ROOT)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    printed = "".join(out.get("text", "") for cell in cells for out in cell.outputs)
    assert "weights [0.58, 0.21, 0.21]" in printed
    assert "output  [0.79, 0.42]" in printed
    assert any("image/png" in out.get("data", {}) for out in cells[-1].outputs)
