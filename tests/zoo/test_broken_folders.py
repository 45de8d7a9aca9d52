"""Folders that are no models are left out with their reason, and nothing else breaks."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import vitviz
from vitviz.commands.main import main
from vitviz.zoo.catalogue import BUNDLED, broken_models, model_folders, offer, offers


@pytest.fixture
def own(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with a sound one, "fine"."""
    shutil.copytree(tiny_base, tmp_path / "fine")
    monkeypatch.setenv("VITVIZ_MODELS", str(tmp_path))
    return tmp_path


def with_config(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(text)


def changed(**values: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **values}))

    return change


def pipe(name: str) -> Callable[[Path], object]:
    def replace(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return replace


BROKEN = {
    "a text as pretrained_cfg": (changed(pretrained_cfg="vit"), "pretrained_cfg .* is no table"),
    "a list as pretrained_cfg": (changed(pretrained_cfg=[1]), "pretrained_cfg .* is no table"),
    "nested JSON": (with_config("[" * 100_000), "no table of settings"),
    "nested objects": (with_config('{"a":' * 50_000 + "1" + "}" * 50_000), "no table of settings"),
    "no JSON": (with_config("<html>"), "no table of settings"),
    "a list": (with_config("[1, 2]"), "no table of settings"),
    "nothing": (with_config(""), "no table of settings"),
    "other bytes": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "no table of settings"),
    "no architecture": (changed(architecture=7), "names no architecture"),
    "a pipe for a config": (pipe("config.json"), "no ordinary file"),
    "a pipe for weights": (pipe("model.safetensors"), "no file of weights"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_left_out_with_its_reason(kind: str, own: Path, tiny_base: Path) -> None:
    damage, says = BROKEN[kind]
    shutil.copytree(tiny_base, own / "broken")
    damage(own / "broken")
    assert [o.name for o in offers()][:2] == [BUNDLED, "fine"]
    assert "broken" not in model_folders()
    assert re.search(says, str(broken_models()["broken"]))
    for load in (offer, vitviz.load_model):
        with pytest.raises(vitviz.ModelError, match=says):
            load("broken")
    if kind != "a pipe for a config":
        with pytest.raises(vitviz.ModelError, match=says):
            vitviz.load_model(own / "broken")
    assert vitviz.load_model("fine").name == "fine"


def test_one_that_is_mended_appears(own: Path, tiny_base: Path) -> None:
    shutil.copytree(tiny_base, own / "mine")
    changed(pretrained_cfg="vit")(own / "mine")
    assert "mine" in broken_models()
    shutil.copy(tiny_base / "config.json", own / "mine" / "config.json")
    assert "mine" not in broken_models()
    assert offer("mine").here


def test_what_is_no_text_is_no_licence(own: Path) -> None:
    changed(license=["mit"], pretrained_cfg=None)(own / "fine")
    assert offer("fine").licence is None
    assert not offer("fine").non_commercial


def test_a_name_that_is_no_text(own: Path, tiny_base: Path, capsys) -> None:
    shutil.copytree(tiny_base, own / "b\udcff")
    assert "b?" in broken_models()
    assert main(["models"]) == 0
    assert "vitviz: skipped b?: its name is no text" in capsys.readouterr().err


def test_the_page_shows_the_others(own: Path, tiny_base: Path) -> None:
    shutil.copytree(tiny_base, own / "broken")
    changed(pretrained_cfg="vit")(own / "broken")

    def page() -> None:
        from vitviz.ui.controls.model_picker import model_list

        model_list("fine")

    app = AppTest.from_function(page, default_timeout=60).run()
    assert not app.exception
    [left_out] = [c.value for c in app.caption if "broken" in c.value]
    assert left_out == "Left out: `broken`; pretrained_cfg in its config.json is no table."
    assert any("fine" in text.value for text in app.markdown)


def test_the_command_names_what_it_skips(own: Path, tiny_base: Path, capsys) -> None:
    shutil.copytree(tiny_base, own / "broken")
    with_config("[" * 100_000)(own / "broken")
    assert main(["models", "--json"]) == 0
    said = capsys.readouterr()
    assert "fine" in {row["name"] for row in json.loads(said.out)}
    assert said.err.startswith("vitviz: skipped broken: its config.json is no table")
