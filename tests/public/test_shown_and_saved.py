"""What a recording and a heatmap say of themselves, give to NumPy, and leave in a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from families import make_photo, random_module
from heatmaps import heatmap

import vitviz


@pytest.fixture(scope="module")
def vit() -> vitviz.Vit:
    return vitviz.from_module(random_module("vit"))


def test_a_recording_keeps_the_photo_itself(vit: vitviz.Vit) -> None:
    photo = make_photo()
    assert vitviz.record(vit, photo).photo is photo


def test_of_a_file_it_keeps_the_opened_photo(vit: vitviz.Vit, tmp_path: Path) -> None:
    make_photo().save(tmp_path / "photo.png")
    shown = vitviz.record(vit, tmp_path / "photo.png").photo
    assert shown is not None
    assert shown.tobytes() == make_photo().tobytes()
    grey = vitviz.record(vit, make_photo().convert("L")).photo
    assert grey is not None
    assert grey.mode == "RGB"


def test_an_input_of_the_model_has_no_photo(vit: vitviz.Vit) -> None:
    rec = vitviz.record(vit, vitviz.record(vit, make_photo()).pixels)
    assert rec.photo is None
    assert rec.fingerprint is None
    assert vitviz.explain(rec, "attention").fingerprint is None


def test_each_says_in_one_line_what_it_is(vit: vitviz.Vit) -> None:
    rec = vitviz.record(vit, make_photo())
    best = rec.predictions[0]
    rows, cols = rec.grid
    said = f"{vit.name}: {rec.num_layers} layers, {rows} × {cols} patches, {best.label} "
    assert repr(rec) == f"<Recording of {said}{best.probability:.1%}>"
    heat = vitviz.explain(rec, "attention", (1, 2), layer=1, head=0)
    low, high = (f"{edge:.3g}" for edge in heat.range)
    about = f"attention, layer 1, head 0, patch (1, 2): {rows} × {cols} patches, {low} to {high}"
    assert repr(heat) == f"<Heatmap {about}, of {vit.name}>"
    labels = [rec.predictions[place].label for place in (0, 1)]
    pair = vitviz.explain(rec, "relevance", target=labels[0], versus=labels[1])
    assert repr(pair).startswith(f"<Heatmap relevance of {labels[0]} rather than {labels[1]}: ")
    assert repr(heatmap([[0, 0.5]])) == "<Heatmap test: 1 × 2 patches, 0 to 0.5>"


def test_numpy_takes_a_heatmap_for_its_values() -> None:
    heat = heatmap([[0, 1], [2, 3]])
    assert np.asarray(heat) is heat.values
    assert np.asarray(heat, np.float64).dtype == np.float64
    copied = np.array(heat)
    copied[0, 0] = 9
    assert heat.values[0, 0] == 0
    assert float(np.mean(heat)) == 1.5
    with pytest.raises(ValueError, match="copy"):
        np.array(heat, np.float64, copy=False)


def test_its_file_holds_the_numbers_and_their_making(vit: vitviz.Vit, tmp_path: Path) -> None:
    heat = vitviz.explain(vitviz.record(vit, make_photo()), "rollout", discard=0.5)
    heat.save(tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["values"], heat.values)
        np.testing.assert_array_equal(saved["box"], heat.box)
        assert json.loads(str(saved["options"])) == heat.made_from.options
        assert str(saved["weights"]) == heat.made_from.weights


@pytest.mark.parametrize("name", ["map.png", "map", "map.npz.png"])
def test_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(vitviz.VitvizError, match=r"NAME\.npz") as raised:
        heatmap([[1.0]]).save(tmp_path / name)
    assert raised.value.id == "heatmap_file_ending"
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(vitviz.VitvizError) as raised:
        heatmap([[1.0]]).save(str(tmp_path / "none" / "map.npz"))
    assert raised.value.id == "file_not_written"
