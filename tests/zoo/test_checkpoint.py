"""Weights from disk, with or without a config, in every wrapping that training scripts use."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from families import make_photo
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import Tensor, nn

import vitviz
from vitviz.models.transform import mean_and_std
from vitviz.zoo.weights import count_parameters, shapes_of

TINY = "vit_tiny_patch16_224"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def module() -> nn.Module:
    """Three classes, at timm's own size, so that a name says all of the architecture."""
    torch.manual_seed(0)
    return timm.create_model(TINY, num_classes=3).eval()


@pytest.fixture(scope="module")
def logits(module: nn.Module) -> Tensor:
    return vitviz.record(vitviz.from_module(module), make_photo()).logits


WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "model": lambda state: {"model": state, "epoch": 7},
    "state_dict": lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1)},
    "average": lambda state: {"state_dict": {}, "state_dict_ema": state},
    "distributed": lambda state: {"model": {f"module.{key}": v for key, v in state.items()}},
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("ending", ["pth", "pt"])
def test_a_pickle_of_weights(
    wrapping: str, ending: str, module: nn.Module, logits: Tensor, tmp_path: Path
) -> None:
    file = tmp_path / f"mine.{ending}"
    torch.save(WRAPPINGS[wrapping](module.state_dict()), file)
    vit = vitviz.load_model(file, architecture=TINY)
    assert vit.name == "mine"
    assert vit.labels == ()
    assert torch.equal(vitviz.record(vit, make_photo()).logits, logits)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors(prefix: str, module: nn.Module, logits: Tensor, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file({f"{prefix}{key}": value for key, value in module.state_dict().items()}, file)
    vit = vitviz.load_model(str(file), architecture=TINY)
    assert torch.equal(vitviz.record(vit, make_photo()).logits, logits)


def test_weights_without_a_classifier(module: nn.Module, tmp_path: Path) -> None:
    state = {key: v for key, v in module.state_dict().items() if not key.startswith("head.")}
    torch.save(state, tmp_path / "mine.pth")
    vit = vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)
    assert vitviz.record(vit, make_photo()).predictions == []


def test_a_tag_tells_the_transform(module: nn.Module, tmp_path: Path) -> None:
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    plain = vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)
    tagged = vitviz.load_model(tmp_path / "mine.pth", architecture="deit_tiny_patch16_224.fb_in1k")
    assert mean_and_std(plain.transform)[0] == pytest.approx([0.5, 0.5, 0.5])
    assert mean_and_std(tagged.transform)[0] == pytest.approx([0.485, 0.456, 0.406])


def test_position_embeddings_are_fitted(tmp_path: Path) -> None:
    """Those of a training at 384 px, in a model for 224."""
    torch.manual_seed(0)
    large = timm.create_model(TINY, img_size=384, num_classes=3)
    torch.save(large.state_dict(), tmp_path / "large.pth")
    vit = vitviz.load_model(tmp_path / "large.pth", architecture=TINY)
    assert vit.module.pos_embed.shape == (1, 197, 192)
    assert torch.equal(vit.module.cls_token, large.cls_token)


class TestLabels:
    def test_a_text_file_beside_the_weights(self, module: nn.Module, tmp_path: Path) -> None:
        torch.save(module.state_dict(), tmp_path / "mine.pth")
        (tmp_path / "labels.txt").write_text("ant\nbee\n猫\n", encoding="utf-8")
        vit = vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)
        assert vit.labels == ("ant", "bee", "猫")

    def test_it_must_name_every_class(self, module: nn.Module, tmp_path: Path) -> None:
        torch.save(module.state_dict(), tmp_path / "mine.pth")
        (tmp_path / "labels.txt").write_text("ant\nbee\n")
        with pytest.raises(vitviz.ModelError, match="2 lines and the model 3 classes"):
            vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)

    def test_imagenets_where_there_are_a_thousand(self, tmp_path: Path) -> None:
        torch.save(timm.create_model(TINY).state_dict(), tmp_path / "mine.pth")
        vit = vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)
        assert "tench" in vit.labels[0]

    @pytest.mark.parametrize("own", [True, False])
    def test_a_folders_config_comes_first(
        self, own: bool, module: nn.Module, tmp_path: Path
    ) -> None:
        names = {"label_names": ["x", "y", "z"]} if own else {}
        save_for_hf(module, tmp_path, safe_serialization=True, model_config=names)
        (tmp_path / "labels.txt").write_text("ant\nbee\ncow\n")
        expected = ("x", "y", "z") if own else ("ant", "bee", "cow")
        assert vitviz.load_model(tmp_path).labels == expected

    def test_a_config_may_number_them(self, module: nn.Module, tmp_path: Path) -> None:
        names = {"label_names": {"0": "n1", "2": "n2"}, "label_descriptions": {"n2": "cow"}}
        save_for_hf(module, tmp_path, safe_serialization=True, model_config=names)
        assert vitviz.load_model(tmp_path).labels == ("n1", "class 1", "cow")


class Runs:
    """What a pickle may do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


class TestRefused:
    def test_a_pickle_that_runs_code(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: nn.Module
    ) -> None:
        monkeypatch.chdir(tmp_path)
        torch.save({"state_dict": module.state_dict(), "extra": Runs()}, "evil.pth")
        with pytest.raises(
            vitviz.ModelError, match=r"would run posix\.system; save the state_dict"
        ):
            vitviz.load_model("evil.pth", architecture=TINY)
        assert not Path("ran").exists()

    def test_a_whole_module(self, module: nn.Module, tmp_path: Path) -> None:
        torch.save(module, tmp_path / "whole.pth")
        with pytest.raises(vitviz.ModelError, match=r"would run .* and 1[0-9] more; save"):
            vitviz.load_model(tmp_path / "whole.pth", architecture=TINY)

    def test_no_architecture(self, module: nn.Module, tmp_path: Path) -> None:
        torch.save(module.state_dict(), tmp_path / "mine.pth")
        with pytest.raises(vitviz.ModelError, match="--architecture"):
            vitviz.load_model(tmp_path / "mine.pth")

    @pytest.mark.parametrize("architecture", ["nonsense", "hf-hub:a/b", f"{TINY}.nonsense", ""])
    def test_an_unknown_architecture(
        self, architecture: str, module: nn.Module, tmp_path: Path
    ) -> None:
        torch.save(module.state_dict(), tmp_path / "mine.pth")
        with pytest.raises(vitviz.ModelError, match=r"no architecture|mine\.pth cannot be loaded"):
            vitviz.load_model(tmp_path / "mine.pth", architecture=architecture)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(vitviz.ModelError, match=r"There is no file .*mine\.pth"):
            vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)

    def test_another_models_weights_are_told_apart_by_name(
        self, module: nn.Module, tmp_path: Path
    ) -> None:
        state = module.state_dict()
        state["extra.weight"] = state.pop("blocks.3.attn.qkv.bias")
        state.pop("norm.weight")
        torch.save(state, tmp_path / "mine.pth")
        with pytest.raises(vitviz.ModelError) as caught:
            vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)
        assert str(caught.value) == (
            "The model mine.pth cannot be loaded: its weights are another model’s; the file lacks "
            "blocks.3.attn.qkv.bias, norm.weight; the model has no place for extra.weight."
        )

    def test_and_by_size(self, module: nn.Module, tmp_path: Path) -> None:
        torch.save(module.state_dict(), tmp_path / "mine.pth")
        with pytest.raises(vitviz.ModelError) as caught:
            vitviz.load_model(tmp_path / "mine.pth", architecture="vit_small_patch16_224")
        said = str(caught.value)
        assert "cls_token 1 × 1 × 192 → 1 × 1 × 384" in said
        assert said.endswith("more.")
        assert "\n" not in said

    @pytest.mark.parametrize("content", [{"epoch": 7}, {}, [1, 2], 5, torch.zeros(3)])
    def test_a_file_without_weights(self, content: object, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "mine.pth")
        with pytest.raises(vitviz.ModelError, match=r"mine\.pth (holds no|cannot)"):
            vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)

    @pytest.mark.parametrize("ending", ["pth", "safetensors"])
    @pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 4096])
    def test_a_file_of_another_kind(self, content: bytes, ending: str, tmp_path: Path) -> None:
        (tmp_path / f"mine.{ending}").write_bytes(content)
        with pytest.raises(vitviz.ModelError, match=rf"mine\.{ending} cannot be loaded: \S"):
            vitviz.load_model(tmp_path / f"mine.{ending}", architecture=TINY)


def test_parameters_are_counted_without_reading_them(module: nn.Module, tmp_path: Path) -> None:
    expected = sum(p.numel() for p in module.parameters())
    save_for_hf(module, tmp_path, safe_serialization="both")
    assert count_parameters(tmp_path) == expected
    (tmp_path / "model.safetensors").unlink()
    assert count_parameters(tmp_path) == expected
    assert shapes_of(tmp_path / "pytorch_model.bin")["norm.weight"] == (192,)
    (tmp_path / "pytorch_model.bin").write_bytes(b"no weights")
    assert count_parameters(tmp_path) is None


def test_a_model_that_can_takes_the_whole_photo(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=2)
    arguments = {"depth": 1, "num_classes": 2}
    save_for_hf(module, tmp_path / "mine", model_args=arguments, safe_serialization=True)
    vit = vitviz.load_model(tmp_path / "mine")
    pixels = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(vit.module(pixels), module.eval()(pixels))
    photo = make_photo(size=(300, 200))
    assert vitviz.record(vit, photo, whole=True).grid == (11, 17)
