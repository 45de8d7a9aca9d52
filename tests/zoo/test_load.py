"""Models load whole, with their own labels and transform, or say what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from families import make_photo, random_module
from timm.models import save_for_hf
from torchvision import transforms

import vitviz
from vitviz.models.labels import imagenet_names
from vitviz.photos.samples import Sample
from vitviz.zoo import load as zoo
from vitviz.zoo.catalogue import COUNTERPART

SMALL = {"img_size": 32, "depth": 1, "embed_dim": 24, "num_heads": 2, "num_classes": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model saved by timm itself, with three labels."""
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", **SMALL)
    names = {"label_names": ["ant", "bee", "cow"]}
    save_for_hf(
        module, tmp_path / "mine", safe_serialization=True, model_config=names, model_args=SMALL
    )
    return tmp_path / "mine"


def test_a_saved_model_computes_the_same_bits(folder: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", **SMALL).eval()
    vit = vitviz.load_model(folder)
    rec = vitviz.record(vit, make_photo())
    with torch.no_grad():
        assert torch.equal(module(rec.pixels[None])[0], rec.logits)
    assert vit.labels == ("ant", "bee", "cow")
    assert vit.name == "mine"
    assert sorted(p.label for p in rec.predictions) == ["ant", "bee", "cow"]


def test_a_folder_whose_arguments_timm_wrote_itself_loads_whole(tmp_path: Path) -> None:
    module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=3, img_size=64).eval()
    save_for_hf(module, tmp_path, safe_serialization=True)
    rec = vitviz.record(vitviz.load_model(tmp_path), make_photo())
    with torch.no_grad():
        torch.testing.assert_close(module(rec.pixels[None])[0], rec.logits)
    assert rec.grid == (4, 4)


class TestBundled:
    def test_it_is_the_default_and_knows_its_classes(self) -> None:
        vit = vitviz.load_model()
        assert vit.name == zoo.BUNDLED == vitviz.bundled_models()[0]
        assert len(vit.labels) == len(set(vit.labels)) == vit.module.num_classes == 1000
        assert vitviz.load_model(zoo.BUNDLED).labels == vit.labels

    def test_its_former_name_finds_it(self) -> None:
        former = vitviz.load_model("vit_small_patch14_photos246")
        assert former.name == zoo.BUNDLED

    def test_its_weights_are_float32_in_memory_and_small_on_disk(self) -> None:
        vit = vitviz.load_model()
        assert {p.dtype for p in vit.module.parameters()} == {torch.float32}
        assert not vit.module.training
        weights = zoo.MODELS_DIR / zoo.BUNDLED / "model.safetensors"
        assert weights.stat().st_size < 50 * 2**20

    def test_predictions_are_every_class_in_order(self) -> None:
        rec = vitviz.record(vitviz.load_model(), make_photo())
        probabilities = [p.probability for p in rec.predictions]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert sorted(p.index for p in rec.predictions) == list(range(1000))
        best = rec.predictions[0]
        assert best.index == int(rec.logits.argmax())
        assert best.label == rec.vit.labels[best.index]

    @pytest.mark.parametrize("model", [zoo.BUNDLED, COUNTERPART])
    @pytest.mark.parametrize("sample", vitviz.samples(), ids=lambda sample: sample.id)
    def test_samples_get_a_sensible_label_first_or_second(self, sample: Sample, model: str) -> None:
        vit = vitviz.load_model(model)
        best = vitviz.predict(vit, vitviz.load_image(sample.path))[:2]
        fitting = set(sample.classes) & set(vit.labels)
        assert not fitting or fitting & {p.label for p in best}
        assert set(sample.classes) <= set(imagenet_names())


class TestFromModule:
    def test_labels_and_transform_default_to_the_modules_own(self) -> None:
        vit = vitviz.from_module(timm.create_model("vit_tiny_patch16_224", depth=1))
        assert len(vit.labels) == 1000
        assert "tench" in vit.labels[0]
        assert vit.name == "vit_tiny_patch16_224"
        assert not vit.module.training

    def test_they_can_be_given(self) -> None:
        steps = [transforms.Resize((64, 96)), transforms.ToTensor()]
        given = transforms.Compose(steps)
        names = [f"number {i}" for i in range(1000)]
        vit = vitviz.from_module(random_module("vit"), labels=names, transform=given, name="x")
        rec = vitviz.record(vit, make_photo())
        assert vit.transform is given
        assert {p.label for p in rec.predictions} == set(names)

    def test_the_input_size_is_the_modules(self) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=128)
        assert vitviz.record(vitviz.from_module(module), make_photo()).grid == (8, 8)

    def test_without_a_config_the_transform_must_be_given(self) -> None:
        with pytest.raises(vitviz.ModelError, match="transform="):
            vitviz.from_module(torch.nn.Linear(2, 2))


def test_a_model_without_classes_has_no_predictions() -> None:
    vit = vitviz.from_module(
        timm.create_model("vit_tiny_patch16_224", **{**SMALL, "num_classes": 0})
    )
    rec = vitviz.record(vit, make_photo())
    assert vit.labels == ()
    assert rec.predictions == []
    assert rec.logits.shape == (0,)
    assert vitviz.explain(rec, "rollout").values.shape == (2, 2)


def test_the_number_of_threads_is_left_alone(folder: Path) -> None:
    before = torch.get_num_threads(), torch.get_num_interop_threads()
    vitviz.record(vitviz.load_model(folder), make_photo())
    assert (torch.get_num_threads(), torch.get_num_interop_threads()) == before


def test_another_models_labels_are_not_borrowed() -> None:
    assert vitviz.from_module(random_module("dinov2 registers")).labels == ()


class TestRefused:
    def test_an_unknown_name(self) -> None:
        with pytest.raises(vitviz.ModelError, match="no model called “vit_huge_nonsense”"):
            vitviz.load_model("vit_huge_nonsense")

    def test_a_folder_without_config(self, tmp_path: Path) -> None:
        with pytest.raises(vitviz.ModelError, match=r"no config\.json"):
            vitviz.load_model(tmp_path)

    def test_a_broken_config(self, folder: Path) -> None:
        (folder / "config.json").write_text("{")
        with pytest.raises(vitviz.ModelError, match="cannot be loaded"):
            vitviz.load_model(folder)

    def test_an_unknown_architecture(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "architecture": "nonsense"}))
        with pytest.raises(vitviz.ModelError, match="cannot be loaded"):
            vitviz.load_model(folder)

    def test_missing_weights(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        with pytest.raises(vitviz.ModelError, match="cannot be loaded"):
            vitviz.load_model(folder)

    def test_cut_off_weights(self, folder: Path) -> None:
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(vitviz.ModelError, match="cannot be loaded"):
            vitviz.load_model(folder)

    def test_weights_of_another_size(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["model_args"] = {**config.get("model_args", {}), "depth": 3}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(vitviz.ModelError, match="cannot be loaded"):
            vitviz.load_model(folder)


def edit(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda config: {**config, **changes}


def edit_cfg(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda config: {**config, "pretrained_cfg": {**config["pretrained_cfg"], **changes}}


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        lambda _: {},
        lambda _: "text",
        lambda _: None,
        edit(architecture=5),
        edit(model_args=[1]),
        edit(model_args={"nonsense": 1}),
        edit(pretrained_cfg=None),
        edit(pretrained_cfg="text"),
        edit(label_names=5),
        edit_cfg(mean="text"),
        edit_cfg(interpolation="text"),
        edit_cfg(input_size="text", fixed_input_size=False),
    ],
)
def test_a_config_of_the_wrong_shape(folder: Path, change: Callable[[Any], Any]) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(vitviz.ModelError, match=r"mine cannot be loaded: \S"):
        vitviz.load_model(folder)


@pytest.mark.parametrize("weights", [b"", b"hello", b"\0" * 4096])
def test_weights_that_are_no_weights(folder: Path, weights: bytes) -> None:
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(vitviz.ModelError, match=r"mine cannot be loaded: \S"):
        vitviz.load_model(folder)


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224.nonsense", "resnet", "hf-hub:a/b", "x" * 5000, "a\0b", " "]
)
def test_a_name_that_is_no_model(name: str) -> None:
    with pytest.raises(vitviz.ModelError) as caught:
        vitviz.load_model(name)
    assert name[:20] in str(caught.value)
