"""The Explore page on models whose layers differ, through Streamlit's AppTest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from pages import page
from streamlit.testing.v1 import AppTest
from timm.models import save_for_hf
from visits import answer, recording

MODELS = {
    "swin": ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1), "embed_dim": 24}),
    "cait": ("cait_xxs24_224", {"depth": 1}),
    "xcit": ("xcit_nano_12_p16_224", {"depth": 1}),
    "siglip": (
        "vit_base_patch16_siglip_224",
        {"depth": 1, "embed_dim": 48, "num_heads": 2, "num_classes": 4},
    ),
    "resnet": ("resnet18", {}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    for name, (model, arguments) in MODELS.items():
        torch.manual_seed(0)
        module = timm.create_model(model, **arguments)
        save_for_hf(module, made / name, model_args=arguments, safe_serialization=True)
    return made


@pytest.fixture(autouse=True)
def offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITVIZ_MODELS", str(folder))
    monkeypatch.setenv("VITVIZ_MODELS_IN_MEMORY", "9")


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption)


def test_each_layer_says_how_it_looks() -> None:
    app = page("explore", model="swin", attention_layer="0")
    assert "Windows: each of the 56 × 56 patches" in captions(app)
    heads = recording(app).num_heads(0)
    pills = next(group for group in app.button_group if group.key == "attention_head")
    assert len(pills.options) == heads + 1
    app.slider(key="attention_layer").set_value(3).run()
    assert "Global: each of the 7 × 7 patches" in captions(app)


def test_a_query_is_the_same_place_in_every_layer() -> None:
    app = page("explore", model="swin", attention_layer="2", query="20,41")
    rec = recording(app)
    row = rec.patches(rec.attention(2).mean(0)[5 * 14 + 10], 2).numpy()
    np.testing.assert_allclose(answer(app).values, row, rtol=1e-5)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_method_that_needs_one_map_a_layer_says_so(lang: str) -> None:
    app = page("explore", model="swin", method="relevance", lang=lang)
    [warning] = app.warning
    assert ("does not have one map over all tokens" in warning.value) == (lang == "en")
    assert "swin" in warning.value


def test_rollout_goes_through_windows() -> None:
    app = page("explore", model="swin", method="rollout")
    assert not app.warning
    values = answer(app).values
    assert values.shape == recording(app).grid
    assert values.sum() == pytest.approx(1, abs=1e-4)


def test_what_is_left_out_is_said() -> None:
    app = page("explore", model="cait")
    assert "Shown are 2 attention layers. 1 more do something else" in captions(app)
    assert "only the class token looks" in captions(app)
    assert not app.warning


def test_channels_have_matrices_instead_of_a_map() -> None:
    app = page("explore", model="xcit", attention_layer="0")
    assert "channels look at channels" in app.warning[0].value
    assert "this layer weighs 32 channels" in captions(app)
    app.slider(key="attention_layer").set_value(1).run()
    assert not app.warning


def test_the_pooling_heads_method_is_offered_where_there_is_one() -> None:
    methods = next(box for box in page("explore", model="siglip").selectbox if box.key == "method")
    assert "Pooling attention" in methods.options
    others = next(box for box in page("explore", model="cait").selectbox if box.key == "method")
    assert "Pooling attention" not in others.options
    app = page("explore", model="siglip", method="pooling")
    assert answer(app).method == "pooling"


def test_a_model_without_maps_is_refused_in_one_sentence() -> None:
    app = page("explore", model="resnet")
    assert "resnet has no attention map" in app.error[0].value


def test_the_whole_photo_can_be_shown_to_a_model_that_takes_any_size() -> None:
    app = page("explore", sample="tower", whole="true")
    rec = recording(app)
    assert rec.grid[0] < rec.grid[1]
    assert rec.box[:2] == (0, 0)
    app.toggle(key="whole").set_value(False).run()
    assert recording(app).grid == (16, 16)
    assert not any(toggle.key == "whole" for toggle in page("explore", model="cait").toggle)


@pytest.mark.usefixtures("light")
def test_maps_of_coarser_layers_are_compared_on_the_finest_grid() -> None:
    app = page("compare", model="swin", methods="attention")
    assert not app.warning
