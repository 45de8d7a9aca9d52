"""Models load whole, with their own labels and transform, or say what is wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import timm
import torch
from families import make_photo, random_module
from timm.models import save_for_hf
from torchvision import transforms

import vitviz
from vitviz import zoo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model saved by timm itself, with three labels."""
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=3, img_size=64)
    names = {"label_names": ["ant", "bee", "cow"]}
    save_for_hf(module, tmp_path / "mine", safe_serialization=True, model_config=names)
    return tmp_path / "mine"


def test_a_folder_saved_by_timm_loads_whole(folder: Path) -> None:
    vit = vitviz.load_model(folder)
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=3, img_size=64).eval()
    rec = vitviz.record(vit, make_photo())
    with torch.no_grad():
        torch.testing.assert_close(module(rec.pixels[None])[0], rec.logits)
    assert rec.grid == (4, 4)
    assert vit.name == "mine"
    assert sorted(p.label for p in rec.predictions) == ["ant", "bee", "cow"]


class TestBundled:
    def test_it_is_the_default_and_knows_its_classes(self) -> None:
        vit = vitviz.load_model()
        assert vit.name == zoo.BUNDLED == vitviz.bundled_models()[0]
        assert len(vit.labels) == len(set(vit.labels)) == vit.module.num_classes == 246
        assert vitviz.load_model(zoo.BUNDLED).labels == vit.labels

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
        assert sorted(p.index for p in rec.predictions) == list(range(246))
        best = rec.predictions[0]
        assert best.index == int(rec.logits.argmax())
        assert best.label == rec.vit.labels[best.index]

    @pytest.mark.parametrize(
        ("sample", "labels"),
        [
            ("cat", {"tabby", "Egyptian cat", "Persian cat", "tiger cat", "lynx"}),
            ("coffee", {"espresso", "cup", "coffee mug"}),
        ],
    )
    def test_samples_get_sensible_labels(self, sample: str, labels: set[str]) -> None:
        path = next(s.path for s in vitviz.samples() if s.id == sample)
        rec = vitviz.record(vitviz.load_model(), vitviz.load_image(path))
        assert rec.predictions[0].label in labels


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
        vit = vitviz.from_module(random_module("vit"), labels=["only"], transform=given, name="x")
        rec = vitviz.record(vit, make_photo())
        assert vit.transform is given
        assert {p.label for p in rec.predictions} >= {"only", "class 1"}

    def test_the_input_size_is_the_modules(self) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=128)
        assert vitviz.record(vitviz.from_module(module), make_photo()).grid == (8, 8)

    def test_without_a_config_the_transform_must_be_given(self) -> None:
        with pytest.raises(vitviz.ModelError, match="transform="):
            vitviz.from_module(torch.nn.Linear(2, 2))


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

    def test_weights_that_cannot_be_fetched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The promise is an answer within ten seconds, whatever the network does."""

        class Silent:
            def head(self, *_: object, **__: object) -> None:
                time.sleep(60)

        monkeypatch.setattr(zoo.huggingface_hub, "get_session", Silent)
        start = time.monotonic()
        with pytest.raises(vitviz.ModelUnavailable, match="copy its folder to models/"):
            vitviz.load_model("vit_giant_patch14_clip_224.laion2b")
        assert time.monotonic() - start < 10

    def test_a_model_nobody_trained(self) -> None:
        with pytest.raises(vitviz.ModelUnavailable, match="no pretrained weights"):
            vitviz.load_model("vit_base_patch16_xp_224")
