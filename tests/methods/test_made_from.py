"""What a heatmap says of its own making, in memory and in its file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import random_classifier
from PIL import Image

import vitviz
from vitviz.methods.attention import head_maps
from vitviz.models.weights import weights_hash
from vitviz.recording.recording import Recording


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    labels = ["ape", "bee", "cat", "dog", "elk"]
    vit = vitviz.from_module(random_classifier("vit"), labels, name="small")
    return vitviz.record(vit, photo)


def test_a_class_specific_map(rec: Recording) -> None:
    made = vitviz.explain(rec, "relevance", (1, 2), 3, versus=0).made_from
    assert made is not None
    assert (made.method, made.options, made.layer, made.query) == ("relevance", {}, None, (1, 2))
    assert (made.target, made.target_label) == (3, "dog")
    assert (made.versus, made.versus_label) == (0, "ape")
    assert (made.model, made.weights) == ("small", weights_hash(rec.vit.module))


def test_the_top_prediction_is_named(rec: Recording) -> None:
    made = vitviz.explain(rec, "gradcam").made_from
    top = rec.predictions[0]
    assert made is not None
    assert (made.target, made.target_label, made.versus) == (top.index, top.label, None)
    assert made.query is None


def test_options_are_there_also_by_default(rec: Recording) -> None:
    made = vitviz.explain(rec, "rollout", fusion="max").made_from
    assert made is not None
    assert made.options == {**vitviz.METHODS["rollout"].defaults, "fusion": "max"}
    made = vitviz.explain(rec, "attention", head=1).made_from
    assert made is not None
    assert made.options == {"layer": 2, "head": 1}
    assert made.layer == 2


def test_maps_of_all_heads_say_the_same_as_one(rec: Recording) -> None:
    for head, heat in head_maps(rec, -1, (0, 1)).items():
        assert heat.made_from == vitviz.explain(rec, "attention", (0, 1), head=head).made_from


def test_it_can_be_made_again(rec: Recording) -> None:
    heat = vitviz.explain(rec, "gradient_rollout", (2, 2), 1, discard=0.5)
    made = heat.made_from
    assert made is not None
    again = vitviz.explain(rec, made.method, made.query, made.target, **made.options)
    np.testing.assert_array_equal(again.values, heat.values)
    assert again.made_from == made


def test_changed_maps_remember(rec: Recording) -> None:
    heat = vitviz.explain(rec, "attention")
    for changed in (heat.shares, heat.scaled(2), heat.on_grid((8, 12))):
        assert changed.made_from == heat.made_from


def test_another_input_has_another_hash(rec: Recording, photo: Image.Image) -> None:
    hashes = {
        vitviz.explain(vitviz.record(rec.vit, one), "attention").made_from.input
        for one in (photo, photo.rotate(180), photo.copy())
    }
    assert len(hashes) == 2


class TestItsFile:
    def entries(self, heat: vitviz.Heatmap) -> dict[str, object]:
        buffer = io.BytesIO()
        heat.save(buffer)
        buffer.seek(0)
        with np.load(buffer, allow_pickle=False) as archive:
            return {name: archive[name].tolist() for name in archive.files}

    def test_holds_what_the_map_was_made_from(self, rec: Recording) -> None:
        heat = vitviz.explain(rec, "relevance", (1, 2), 3, versus=0)
        found = self.entries(heat)
        assert heat.made_from is not None
        assert (
            found.items()
            >= {
                "method": "relevance",
                "options": "{}",
                "query": "1,2",
                "target": 3,
                "target_label": "dog",
                "versus": 0,
                "versus_label": "ape",
                "model": "small",
                "weights": heat.made_from.weights,
                "input": heat.made_from.input,
            }.items()
        )
        assert "layer" not in found

    @pytest.mark.parametrize(
        ("method", "asked"),
        [
            ("attention", {"query": (1, 2), "layer": 1, "head": 0}),
            ("relevance", {"target": 1, "versus": 2}),
            ("rise", {}),
            ("gradcam", {}),
        ],
    )
    def test_is_read_again(
        self, rec: Recording, tmp_path: Path, method: str, asked: dict[str, Any]
    ) -> None:
        heat = vitviz.explain(rec, method, **asked)
        heat.save(tmp_path / "map.npz")
        again = vitviz.load_heatmap(tmp_path / "map.npz")
        assert again.made_from == heat.made_from
        assert (again.method, again.box) == (heat.method, heat.box)
        assert np.array_equal(again.values, heat.values)
        assert (again.errors is None) == (heat.errors is None)
        assert again.fingerprint is not None
        assert again.fingerprint.fits(rec.photo)
        assert not again.fingerprint.fits(rec.photo.rotate(180))

    def test_of_an_edited_model_and_of_ones_own(self, rec: Recording, tmp_path: Path) -> None:
        edited = vitviz.record(rec.vit, rec.photo, edits=[vitviz.ablate_heads([(0, 0)])])
        for heat in (
            vitviz.explain(edited, "rollout"),
            vitviz.Heatmap(np.ones((2, 3), np.float32), (0, 0, 3, 2), "mine"),
        ):
            heat.save(tmp_path / "map.npz")
            assert vitviz.load_heatmap(tmp_path / "map.npz").made_from == heat.made_from

    @pytest.mark.parametrize("content", [None, b"", b"no zip", "other"])
    def test_what_is_none_is_refused(self, tmp_path: Path, content: bytes | str | None) -> None:
        file = tmp_path / "map.npz"
        if content == "other":
            np.savez(file, values=np.ones(3))
        elif content is not None:
            file.write_bytes(content)
        with pytest.raises(vitviz.VitvizError, match="is no map that Vitviz wrote"):
            vitviz.load_heatmap(file)

    def test_leaves_out_what_there_is_not(self, rec: Recording) -> None:
        found = self.entries(vitviz.explain(rec, "attention", layer=0))
        assert found["layer"] == 0
        assert json.loads(str(found["options"])) == {"layer": 0, "head": None}
        assert found["query"] == "cls"
        assert "target" not in found
        assert "query" not in self.entries(vitviz.explain(rec, "random"))

    def test_explains_every_entry(self, rec: Recording) -> None:
        maps = [vitviz.explain(rec, "relevance", target=3, versus=0)]
        maps.append(vitviz.explain(rec, "attention"))
        for found in map(self.entries, maps):
            for name in found.keys() - {"readme"}:
                assert name in str(found["readme"]), name

    def test_of_a_map_made_by_hand(self) -> None:
        heat = vitviz.Heatmap(np.ones((2, 2), np.float32), (0, 0, 1, 1), "mine")
        assert self.entries(heat).keys() == {"values", "box", "method", "readme"}
