"""A new method is one file: every surface offers it without any other change."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from families import random_module
from pages import page
from streamlit.testing.v1 import AppTest

import vitviz
from vitviz import methods
from vitviz.commands.main import main
from vitviz.coverage.check import cover
from vitviz.measures import comparison
from vitviz.methods import explain as explaining

APP = str(Path(__file__).parents[2] / "app.py")
CAT = vitviz.samples()[0].path

TOY = """
import torch
from torch import Tensor

from vitviz.methods.method import ChoiceOption, Method, NumberOption
from vitviz.recording.recording import Recording


def toy(rec: Recording, *, strength: float, corner: str) -> Tensor:
    values = strength * torch.arange(rec.num_tokens, dtype=torch.float32)
    return values if corner == "bottom" else values.flip(0)


METHOD = Method(
    "toy",
    99,
    "Toy map",
    "Where is the corner?",
    toy,
    "Nobody 2026",
    {
        "strength": NumberOption("Strength", 1.0, 0.0, 2.0),
        "corner": ChoiceOption("Corner", "bottom", ("bottom", "top")),
    },
    has_query=False,
)
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, as if it lay among the others."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    found = {method.id: method for method in explaining._methods()}
    assert list(found) == [*vitviz.METHODS, "toy"]
    monkeypatch.setitem(vitviz.METHODS, "toy", found["toy"])
    monkeypatch.delitem(sys.modules, "vitviz.methods.toy")


def opened(**params: str) -> AppTest:
    return page("explore", **params)


@pytest.mark.usefixtures("toy")
class TestAToyMethod:
    def test_is_listed_and_run_on_the_command_line(self, tmp_path: Path, capsys) -> None:
        assert main(["methods", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert listed[-1]["title"] == "Toy map"
        assert listed[-1]["options"]["strength"]["range"] == [0.0, 2.0]
        arguments = ["--method", "toy", "--strength", "0.5", "--corner", "top"]
        assert main(["explain", str(CAT), "--out", str(tmp_path), "--json", *arguments]) == 0
        [result] = json.loads(capsys.readouterr().out)
        rec = vitviz.record(vitviz.load_model(), vitviz.load_image(CAT))
        heat = vitviz.explain(rec, "toy", strength=0.5, corner="top")
        with np.load(result["values"]) as archive:
            np.testing.assert_array_equal(archive["values"], heat.values)
        assert "toy" in cover(random_module("vit", depth=1)).methods

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_is_offered_on_the_start_page(self, language: str) -> None:
        app = opened(method="toy", lang=language)
        assert "Toy map" in app.selectbox(key="method").options
        assert any("Where is the corner?" in text.value for text in app.caption)
        assert app.slider(key="toy_strength").label == "Strength"
        assert app.segmented_control(key="toy_corner").options == ["bottom", "top"]

    def test_is_compared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comparison, "SEEDS", 2)
        app = page("compare", methods="toy", lang="zh")
        assert "Toy map" in app.pills(key="methods").options
        assert any("Toy map" in list(row) for row in app.dataframe[0].value.to_numpy())


def test_no_surface_asks_for_a_method_by_its_id() -> None:
    """What is special about a method is among its flags."""
    library = Path(vitviz.__file__).parent
    files = [
        file
        for folder in ("ui/pages", "ui/controls", "commands", "coverage", "measures")
        for file in (library / folder).glob("*.py")
    ]
    assert len(files) > 20
    for file in files:
        text = file.read_text(encoding="utf-8")
        for id in vitviz.METHODS:
            for sign in ("==", "!="):
                assert f'{sign} "{id}"' not in text, (file.name, id)
