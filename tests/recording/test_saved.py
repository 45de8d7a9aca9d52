"""A recording that was put away and is taken out again is the same one."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from families import random_module
from PIL import Image
from safetensors.torch import save_file

import vitviz
from vitviz.errors import VitvizError


def assert_same(one: vitviz.Recording, other: vitviz.Recording) -> None:
    assert torch.equal(one.pixels, other.pixels)
    assert torch.equal(one.logits, other.logits)
    for name in ("grid", "box", "num_prefix_tokens", "has_class_token", "left_out", "is_chain"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.predictions == other.predictions
    assert one.outputs == other.outputs
    assert [one.kind(layer) for layer in range(one.num_layers)] == [
        other.kind(layer) for layer in range(other.num_layers)
    ]
    for layer in range(one.num_layers):
        torch.testing.assert_close(one.attention(layer), other.attention(layer), rtol=0, atol=1e-6)
    assert (one.norms is None) == (other.norms is None)
    assert (one.pool is None) == (other.pool is None)


def test_each_family_comes_back(vit: vitviz.Vit, photo: Image.Image, tmp_path: Path) -> None:
    rec = vitviz.record(vit, photo)
    rec.save(tmp_path / "one")
    again = vitviz.load_recording(tmp_path / "one", vit)
    assert_same(rec, again)
    assert again.photo is None
    assert again.fingerprint
    assert again.fingerprint.fits(photo)
    np.testing.assert_allclose(
        vitviz.explain(again, "attention").values,
        vitviz.explain(rec, "attention").values,
        atol=1e-6,
    )


def test_with_its_photo(vit: vitviz.Vit, photo: Image.Image, tmp_path: Path) -> None:
    vitviz.record(vit, photo).save(tmp_path / "one")
    again = vitviz.load_recording(tmp_path / "one", vit, photo)
    assert again.photo is not None
    assert again.photo.tobytes() == photo.tobytes()
    with pytest.raises(VitvizError, match="was not recorded of this photo"):
        vitviz.load_recording(tmp_path / "one", vit, photo.rotate(180))


def test_its_model_is_found_by_name(tmp_path: Path) -> None:
    sample = vitviz.samples()[0].path
    rec = vitviz.record(vitviz.load_model(), sample)
    rec.save(tmp_path / "one")
    assert_same(rec, vitviz.load_recording(tmp_path / "one"))


def test_an_edited_one_is_refused(vit: vitviz.Vit, photo: Image.Image, tmp_path: Path) -> None:
    rec = vitviz.record(vit, photo, edits=[vitviz.ablate_heads([(0, 0)])])
    with pytest.raises(VitvizError) as caught:
        rec.save(tmp_path / "one")
    assert caught.value.id == "edits_not_saved"
    assert not (tmp_path / "one").exists()


def test_other_weights_are_noticed(photo: Image.Image, tmp_path: Path) -> None:
    """The same name and shape are not enough."""
    torch.manual_seed(0)
    one = vitviz.from_module(random_module("vit"), name="mine")
    vitviz.record(one, photo).save(tmp_path / "one")
    torch.manual_seed(1)
    module = random_module("vit")
    with torch.no_grad():
        next(module.parameters()).add_(1)
    with pytest.raises(VitvizError) as caught:
        vitviz.load_recording(tmp_path / "one", vitviz.from_module(module, name="mine"))
    assert caught.value.id == "recorded_with_other_weights"


@pytest.mark.parametrize("content", ["nothing", "noise", "other tensors", "half"])
def test_what_is_no_recording_is_refused(content: str, photo: Image.Image, tmp_path: Path) -> None:
    file = tmp_path / "one"
    vit = vitviz.from_module(random_module("vit"))
    if content == "noise":
        file.write_bytes(bytes(range(256)) * 9)
    elif content == "other tensors":
        save_file({"pixels": torch.zeros(3)}, file)
    elif content == "half":
        vitviz.record(vit, photo).save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(VitvizError) as caught:
        vitviz.load_recording(file, vit)
    assert caught.value.id == ("recording_not_there" if content == "nothing" else "no_recording")


def test_half_precision_comes_back_as_it_is(photo: Image.Image, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=5).bfloat16()
    vit = vitviz.from_module(module)
    rec = vitviz.record(vit, photo)
    rec.save(tmp_path / "one")
    again = vitviz.load_recording(tmp_path / "one", vit)
    assert again.layers[0].given[0].dtype == torch.bfloat16
    assert_same(rec, again)


def test_it_travels_to_another_process(vit: vitviz.Vit, photo: Image.Image) -> None:
    rec = vitviz.record(vit, photo)
    heat = vitviz.explain(rec, "attention")
    again, map_again = pickle.loads(pickle.dumps((rec, heat)))
    assert_same(rec, again)
    np.testing.assert_array_equal(heat.values, map_again.values)
    assert heat.made_from == map_again.made_from
    np.testing.assert_array_equal(vitviz.explain(again, "attention").values, heat.values)
