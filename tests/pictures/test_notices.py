"""A map that shows nothing, or is drawn over another photo than its own, says so."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import timm
import torch
from families import make_photo
from heatmaps import heatmap
from PIL import Image, ImageEnhance, ImageOps

import vitviz
from vitviz.methods.attention import head_maps


@pytest.fixture(scope="module")
def rec() -> vitviz.Recording:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=5)
    return vitviz.record(vitviz.from_module(module), make_photo())


def said(heat: vitviz.Heatmap) -> str | None:
    return heat.notice.id if heat.notice else None


def test_a_map_of_zeros_and_one_that_is_the_same_everywhere() -> None:
    assert said(heatmap([[0, 0], [0, 0]])) == "map_is_zero"
    assert said(heatmap([[0.5, 0.5], [0.5, 0.5 + 1e-7]])) == "map_is_constant"
    assert said(heatmap([[0.5, 0.5], [0.5, 0.501]])) is None
    assert said(heatmap([[0.5]])) is None


def test_a_class_that_no_patch_speaks_for(rec: vitviz.Recording) -> None:
    """The head reads nothing: every gradient is 0."""
    module = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=5)
    torch.nn.init.zeros_(module.head.weight)
    blind = vitviz.record(vitviz.from_module(module), make_photo())
    assert said(vitviz.explain(blind, "gradcam")) == "map_is_zero"
    assert said(vitviz.explain(rec, "attention")) is None


def test_a_picture_of_nothing_warns() -> None:
    with pytest.warns(vitviz.VitvizWarning, match="0 everywhere"):
        vitviz.overlay(make_photo(), heatmap([[0, 0], [0, 0]], (0, 0, 160, 120)))


@pytest.mark.parametrize(
    "change",
    [
        lambda photo: photo,
        ImageOps.grayscale,
        lambda photo: ImageEnhance.Brightness(photo).enhance(0.9),
        lambda photo: photo.quantize(16),
    ],
)
def test_its_own_photo_does_not(rec: vitviz.Recording, change) -> None:
    heats = [vitviz.explain(rec, "attention"), *head_maps(rec, 0, (1, 1)).values()]
    with warnings.catch_warnings():
        warnings.simplefilter("error", vitviz.VitvizWarning)
        for heat in heats:
            vitviz.overlay(change(make_photo()), heat)
            half = make_photo().resize((80, 60), Image.Resampling.BICUBIC)
            vitviz.overlay(change(half), heat.scaled(0.5))


@pytest.mark.parametrize(
    "other",
    [
        make_photo(1),
        make_photo().resize((80, 60)),
        ImageOps.mirror(make_photo()),
        make_photo().transpose(Image.Transpose.ROTATE_90),
    ],
)
def test_another_photo_or_size_warns(rec: vitviz.Recording, other: Image.Image) -> None:
    heat = vitviz.explain(rec, "attention")
    with pytest.warns(vitviz.VitvizWarning, match="another photo"):
        vitviz.overlay(other, heat)
    with warnings.catch_warnings():
        warnings.simplefilter("error", vitviz.VitvizWarning)
        vitviz.overlay(make_photo(2), replace(heat, fingerprint=None))


def test_values_that_are_not_finite_are_refused_in_a_sentence(
    rec: vitviz.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = replace(
        vitviz.METHODS["random"],
        function=lambda rec, **_: torch.full((rec.num_tokens,), float("inf")),
    )
    monkeypatch.setitem(vitviz.METHODS, "random", method)
    with pytest.raises(vitviz.MethodError, match="not finite here"):
        vitviz.explain(rec, "random")
