"""Models of torchvision and transformers compute what they compute there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision_vits
import transformers
from families import make_photo
from PIL import Image
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import CenterCrop, Normalize, Resize

import vitviz
from vitviz.models.transform import input_box, mean_and_std


@torch.no_grad()
def run(module: nn.Module, pixels: Tensor) -> Tensor:
    return module(pixels[None])


class TestTorchvision:
    @pytest.fixture(autouse=True)
    def _its_vits_are_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torchvision_vits.are_small(monkeypatch)

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        torch.manual_seed(0)
        torch.save(models.vit_b_32(num_classes=3).state_dict(), tmp_path / "mine.pth")
        return tmp_path / "mine.pth"

    def test_its_vit_computes_the_same(self, file: Path) -> None:
        module = models.vit_b_32(num_classes=3).eval()
        module.load_state_dict(torch.load(file, weights_only=True))
        nn.init.normal_(module.heads.head.weight)
        torch.save(module.state_dict(), file)
        vit = vitviz.load_model(file, architecture="torchvision/vit_b_32")
        preset = models.ViT_B_32_Weights.IMAGENET1K_V1.transforms()
        photo = make_photo(size=(320, 260))
        assert torch.equal(vit.transform(photo), preset(photo))
        assert torch.equal(run(vit.module, vit.transform(photo)), run(module, preset(photo)))
        assert vit.labels == ()
        assert vit.name == "mine"
        assert not vit.module.training

    def test_a_thousand_classes_are_imagenets(self, tmp_path: Path) -> None:
        torch.save({"model": models.vit_b_32().state_dict()}, tmp_path / "mine.pth")
        vit = vitviz.load_model(tmp_path / "mine.pth", architecture="torchvision/vit_b_32")
        assert vit.labels == tuple(models.ViT_B_32_Weights.IMAGENET1K_V1.meta["categories"])

    def test_its_size_is_that_of_the_position_embeddings(self, tmp_path: Path) -> None:
        module = models.vit_b_16(image_size=384, num_classes=3)
        torch.save(module.state_dict(), tmp_path / "mine.pth")
        vit = vitviz.load_model(tmp_path / "mine.pth", architecture="torchvision/vit_b_16")
        photo = make_photo(size=(500, 400))
        preset = models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1.transforms()
        assert torch.equal(vit.transform(photo), preset(photo))
        assert run(vit.module, vit.transform(photo)).shape == (1, 3)

    def test_a_size_that_torchvision_has_no_weights_of(self, tmp_path: Path) -> None:
        module = models.vit_b_32(image_size=96, num_classes=3)
        torch.save(module.state_dict(), tmp_path / "mine.pth")
        vit = vitviz.load_model(tmp_path / "mine.pth", architecture="torchvision/vit_b_32")
        assert run(vit.module, vit.transform(make_photo())).shape == (1, 3)
        assert input_box(vit.transform, (220, 110)) == pytest.approx((62, 7, 158, 103), abs=1)

    def test_its_swin_loads_too(self, tmp_path: Path) -> None:
        torch.save(models.swin_t(num_classes=3).state_dict(), tmp_path / "mine.pth")
        (tmp_path / "labels.txt").write_text("ant\nbee\ncow\n")
        vit = vitviz.load_model(tmp_path / "mine.pth", architecture="torchvision/swin_t")
        assert vit.labels == ("ant", "bee", "cow")
        assert run(vit.module, vit.transform(make_photo())).shape == (1, 3)

    @pytest.mark.parametrize("name", ["resnet18", "nonsense", ""])
    def test_others_are_refused(self, name: str, file: Path) -> None:
        with pytest.raises(vitviz.ModelError, match=r"choose one of .*vit_b_16"):
            vitviz.load_model(file, architecture=f"torchvision/{name}")

    def test_another_ones_weights(self, file: Path) -> None:
        with pytest.raises(vitviz.ModelError, match=r"another model’s.*conv_proj\.weight 48"):
            vitviz.load_model(file, architecture="torchvision/vit_l_16")


def processor(size: dict[str, int], **settings: Any) -> transformers.BitImageProcessor:
    return transformers.BitImageProcessor(size=size, **settings)


class TestTransformers:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        torch.manual_seed(0)
        config = transformers.ViTConfig(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            image_size=32,
            id2label={0: "ant", 1: "bee", 2: "cow"},
        )
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
        settings = {"size": {"height": 32, "width": 32}}
        transformers.ViTImageProcessor(**settings).save_pretrained(tmp_path)
        return tmp_path

    def test_its_vit_computes_the_same(self, folder: Path) -> None:
        vit = vitviz.load_model(folder)
        module = transformers.ViTForImageClassification.from_pretrained(folder).eval()
        pixels = vit.transform(make_photo())
        assert torch.equal(run(vit.module, pixels), run(module, pixels).logits)
        assert vit.labels == ("ant", "bee", "cow")
        assert vit.name == folder.name
        assert not vit.module.training

    def test_a_dinov2_has_no_classes(self, tmp_path: Path) -> None:
        config = transformers.Dinov2Config(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=28
        )
        transformers.Dinov2Model(config).save_pretrained(tmp_path)
        processor({"shortest_edge": 32}, crop_size={"height": 28, "width": 28}).save_pretrained(
            tmp_path
        )
        vit = vitviz.load_model(tmp_path)
        assert vit.labels == ()
        assert run(vit.module, vit.transform(make_photo())).shape == (1, 24)  # its first token
        assert vitviz.record(vit, make_photo()).predictions == []

    def test_its_processors_steps_are_ours(self, folder: Path) -> None:
        wanted = processor(
            {"shortest_edge": 40},
            crop_size={"height": 32, "width": 32},
            resample=Image.Resampling.BICUBIC,
            image_mean=[0.1, 0.2, 0.3],
            image_std=[0.4, 0.5, 0.6],
        )
        wanted.save_pretrained(folder)
        vit, photo = vitviz.load_model(folder), make_photo(size=(80, 60))
        assert [type(step) for step in vit.transform.transforms[::3]] == [Resize, Normalize]
        assert isinstance(vit.transform.transforms[1], CenterCrop)
        assert mean_and_std(vit.transform) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
        assert input_box(vit.transform, photo.size) == pytest.approx((16, 6, 64, 54), abs=1)
        theirs = wanted(photo, return_tensors="np")["pixel_values"][0]
        assert np.abs(vit.transform(photo).numpy() - np.asarray(theirs)).max() < 0.02

    def test_labels_that_nobody_named(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(3)}
        (folder / "config.json").write_text(json.dumps(config))
        assert vitviz.load_model(folder).labels == ()
        (folder / "labels.txt").write_text("x\ny\nz\n")
        assert vitviz.load_model(folder).labels == ("x", "y", "z")

    def test_weights_that_are_missing_are_not_made_up(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
        with pytest.raises(vitviz.ModelError, match=r"the file lacks vit\..*layer.*and 13 more"):
            vitviz.load_model(folder)

    def test_nor_those_of_another_size(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 48}))
        with pytest.raises(vitviz.ModelError, match=r"classifier\.weight 3 × 24 → "):
            vitviz.load_model(folder)

    def test_a_transform_that_is_not_said_is_not_guessed(self, folder: Path) -> None:
        (folder / "preprocessor_config.json").unlink()
        with pytest.raises(vitviz.ModelError, match="image processor"):
            vitviz.load_model(folder)

    @pytest.mark.parametrize(
        "settings", [{"rescale_factor": 1.0}, {"do_rescale": False}, {"size": {"longest_edge": 9}}]
    )
    def test_a_step_that_cannot_be_said(self, settings: dict[str, Any], folder: Path) -> None:
        file = folder / "preprocessor_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
        with pytest.raises(vitviz.ModelError, match="image processor"):
            vitviz.load_model(folder)

    def test_code_in_a_folder_is_not_run(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "mine.py").write_text("raise SystemExit")
        with pytest.raises(vitviz.ModelError, match="cannot be loaded"):
            vitviz.load_model(folder)

    def test_where_it_is_not_installed(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "transformers", None)
        with pytest.raises(vitviz.ModelError, match="pip install transformers"):
            vitviz.load_model(folder)
