"""What training scripts save, and what of it is weights."""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import Tensor, nn

import vitviz
from vitviz.zoo.state import WRAPPERS, _stripped, check_parameter_count, read_state
from vitviz.zoo.weights import count_parameters

TINY = "vit_tiny_patch16_224"
State = dict[str, Tensor]


def small() -> State:
    return {
        "patch_embed.proj.weight": torch.ones(4, 3, 2, 2),
        "blocks.0.norm1.weight": torch.ones(4),
        "norm.weight": torch.ones(4),
    }


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def other(state: State) -> State:
    return {key: 2 * value for key, value in state.items()}


CONTAINERS: dict[str, Callable[[State], Any]] = {
    "model_state_dict": lambda s: {"model_state_dict": s, "epoch": 3},
    "net": lambda s: {"net": s, "acc": np.float64(93.2), "epoch": 4},
    "numpy scalars": lambda s: {
        "state_dict": s, "best": np.float32(0.9), "step": np.int64(7), "seen": np.bool_(True),
    },
    "optimizer": lambda s: {
        "model": s,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(4), "step": torch.tensor(3.0)}}},
        "optimizer_state_dict": {"exp_avg": torch.ones(4)},
    },
    "average beside the last": lambda s: {"model": other(s), "model_ema": s},
    "ema inside": lambda s: {"ema": {"module": s, "decay": 0.99}, "model": other(s)},
    "an empty average": lambda s: {"state_dict": s, "state_dict_ema": {}},
    "student and teacher": lambda s: {
        "student": prefixed("module.backbone.", other(s)),
        "teacher": prefixed("backbone.", s) | {"head.mlp.0.weight": torch.ones(2, 4)},
        "dino_loss": {"center": torch.ones(1, 4)},
        "epoch": 99,
        "args": argparse.Namespace(arch="vit_small"),
    },
    "lightning": lambda s: {
        "state_dict": prefixed("model.", s), "pytorch-lightning_version": "2.0", "callbacks": {},
    },
    "two deep": lambda s: {"checkpoint": {"state_dict": s}},
    "ordered": lambda s: OrderedDict(s),
    "several prefixes": lambda s: prefixed("_orig_mod.module.model.backbone.", s),
    "compiled blocks": lambda s: {
        key.replace("blocks.0.", "blocks.0._orig_mod."): value for key, value in s.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_models_own_weights_are_found(container: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save(CONTAINERS[container](small()), file)
    found = read_state(file)
    assert found.keys() == small().keys()
    assert all(torch.equal(found[key], value) for key, value in small().items())
    shapes = read_state(file, "meta")
    assert {key: value.shape for key, value in shapes.items()} == {
        key: value.shape for key, value in small().items()
    }


@given(st.lists(st.sampled_from((*WRAPPERS, "_orig_mod.")), max_size=4))
def test_any_prefixes_in_any_order(prefixes: list[str]) -> None:
    assert _stripped(prefixed("".join(prefixes), small())).keys() == small().keys()


def test_a_part_that_only_some_keys_have_is_no_wrapper(tmp_path: Path) -> None:
    state = prefixed("model.", small()) | {"head.weight": torch.ones(3, 4)}
    save_file(state, tmp_path / "mine.safetensors")
    assert read_state(tmp_path / "mine.safetensors").keys() == state.keys()


def test_a_classifier_beside_a_backbone_is_kept(tmp_path: Path) -> None:
    state = prefixed("backbone.", small()) | {"head.weight": torch.ones(3, 4)}
    torch.save(state, tmp_path / "mine.pth")
    assert read_state(tmp_path / "mine.pth").keys() == {*small(), "head.weight"}


def test_several_models_are_listed(tmp_path: Path) -> None:
    torch.save({"generator": small(), "critic": small()}, tmp_path / "mine.pth")
    with pytest.raises(vitviz.ModelError, match="several models: generator, critic; save one"):
        vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)


def test_a_whole_way_through_a_wrapped_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model(TINY, num_classes=3)
    saved = {"net": prefixed("module.", module.state_dict()), "acc": np.float64(91.0)}
    torch.save(saved, tmp_path / "mine.pth")
    vit = vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)
    for key, value in module.state_dict().items():
        assert torch.equal(vit.module.state_dict()[key], value)
    assert "state_dict" not in vit.module.pretrained_cfg
    (tmp_path / "again").mkdir()
    save_for_hf(vit.module, tmp_path / "again", safe_serialization=True)


class TestValues:
    @pytest.fixture
    def state(self) -> State:
        return timm.create_model(TINY, num_classes=3).state_dict()

    def refused(self, tmp_path: Path, state: State) -> str:
        torch.save(state, tmp_path / "mine.pth")
        with pytest.raises(vitviz.ModelError) as caught:
            vitviz.load_model(tmp_path / "mine.pth", architecture=TINY)
        return str(caught.value)

    @pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.complex64, torch.bool])
    def test_no_floats(self, kind: torch.dtype, state: State, tmp_path: Path) -> None:
        whole = {key: value.to(kind) for key, value in state.items()}
        assert "its weights are no floats" in self.refused(tmp_path, whole)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_not_finite(self, bad: float, state: State, tmp_path: Path) -> None:
        state["blocks.3.attn.qkv.weight"][5, 5] = bad
        said = self.refused(tmp_path, state)
        assert "not finite, as in blocks.3.attn.qkv.weight" in said

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
    def test_floats_of_any_size(self, kind: torch.dtype, state: State, tmp_path: Path) -> None:
        torch.save({key: value.to(kind) for key, value in state.items()}, tmp_path / "mine.pth")
        assert vitviz.load_model(tmp_path / "mine.pth", architecture=TINY).anatomy.num_classes == 3

    def test_in_a_folder_too(self, tmp_path: Path) -> None:
        module = timm.create_model(TINY, num_classes=3)
        with torch.no_grad():
            module.norm.weight[0] = torch.nan
        save_for_hf(module, tmp_path / "mine", safe_serialization=True)
        with pytest.raises(vitviz.ModelError, match=r"not finite, as in norm\.weight"):
            vitviz.load_model(tmp_path / "mine")

    def test_in_a_folder_of_transformers(self, tmp_path: Path) -> None:
        config = transformers.ViTConfig(
            hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=32
        )
        module = transformers.ViTForImageClassification(config)
        with torch.no_grad():
            module.classifier.weight[0, 0] = torch.inf
        module.save_pretrained(tmp_path)
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
        with pytest.raises(vitviz.ModelError, match="not finite, as in classifier"):
            vitviz.load_model(tmp_path)


class TestSize:
    @pytest.mark.parametrize(
        "changes", [{"embed_dim": 30720}, {"depth": 10_000}, {"img_size": 65536}]
    )
    def test_a_config_that_asks_for_more_than_there_is(
        self, changes: dict[str, int], tmp_path: Path
    ) -> None:
        """Refused before memory is taken: the largest would need a terabyte."""
        folder = tmp_path / "mine"
        save_for_hf(timm.create_model(TINY, depth=1), folder, safe_serialization=True)
        config = json.loads((folder / "config.json").read_text())
        config["model_args"] = {"depth": 1, **changes}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(vitviz.ModelError, match="they do not belong together"):
            vitviz.load_model(folder)

    def test_a_number_that_no_model_has(self, tmp_path: Path) -> None:
        folder = tmp_path / "mine"
        save_for_hf(timm.create_model(TINY, depth=1), folder, safe_serialization=True)
        config = json.loads((folder / "config.json").read_text())
        config["model_args"] = {"depth": 10**9}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(vitviz.ModelError, match="asks for 1,000,000,000 of something"):
            vitviz.load_model(folder)

    def test_in_a_folder_of_transformers(self, tmp_path: Path) -> None:
        config = transformers.ViTConfig(
            hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=32
        )
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
        saved = json.loads((tmp_path / "config.json").read_text())
        saved["num_hidden_layers"] = 10**6
        (tmp_path / "config.json").write_text(json.dumps(saved))
        with pytest.raises(vitviz.ModelError, match="do not belong together"):
            vitviz.load_model(tmp_path)

    def test_an_architecture_that_is_another_ones(self, tmp_path: Path) -> None:
        torch.save(small(), tmp_path / "mine.pth")
        with pytest.raises(vitviz.ModelError, match="do not belong together"):
            vitviz.load_model(tmp_path / "mine.pth", architecture="vit_giant_patch14_224")

    def test_what_fits_is_left_alone(self) -> None:
        check_parameter_count(lambda: nn.Linear(1000, 1000), 1_001_000)
        assert nn.Linear(3, 3).weight.device.type == "cpu"


class TestADamagedFile:
    """Whatever is wrong with it, its size is not known, and nothing else breaks."""

    @pytest.fixture(scope="class", params=["safetensors", "zip", "pickle"])
    def file(self, request: pytest.FixtureRequest, tmp_path_factory) -> Path:
        folder = tmp_path_factory.mktemp(request.param)
        if request.param == "safetensors":
            save_file(small(), folder / "model.safetensors")
            return folder / "model.safetensors"
        as_zip = request.param == "zip"
        state = {"model": small(), "args": argparse.Namespace(lr=0.1)}
        torch.save(state, folder / "model.pth", _use_new_zipfile_serialization=as_zip)
        return folder / "model.pth"

    @pytest.fixture(scope="class")
    def whole(self, file: Path) -> bytes:
        assert count_parameters(file.parent) == 4 * 3 * 2 * 2 + 4 + 4
        return file.read_bytes()

    @given(place=st.integers(0, 2**20), value=st.integers(0, 255))
    def test_one_byte_is_another(self, place: int, value: int, file: Path, whole: bytes) -> None:
        data = bytearray(whole)
        data[place % len(data)] = value
        file.write_bytes(data)
        found = count_parameters(file.parent)
        assert found is None or found >= 0

    @given(length=st.integers(0, 2**20))
    def test_it_is_cut_off(self, length: int, file: Path, whole: bytes) -> None:
        file.write_bytes(whole[: length % len(whole)])
        assert count_parameters(file.parent) is None


@pytest.mark.parametrize("names", [["a", "b"], {"0": "a", "7": "b"}])
def test_labels_that_do_not_match_are_refused(names: Any, tmp_path: Path) -> None:
    module = timm.create_model(TINY, num_classes=3, depth=1)
    save_for_hf(module, tmp_path, safe_serialization=True, model_config={"label_names": names})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_args": {"depth": 1}}))
    with pytest.raises(vitviz.ModelError, match=r"names .* classes and the model has 3"):
        vitviz.load_model(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 a photo", b"not weights", b""])
def test_nobody_is_advised_to_run_what_is_no_file_of_weights(
    content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "photo.pth"
    file.write_bytes(content)
    with pytest.raises(vitviz.ModelError, match=r"photo\.pth cannot be loaded: ") as met:
        vitviz.load_model(file, architecture=TINY)
    assert "weights_only" not in str(met.value)
