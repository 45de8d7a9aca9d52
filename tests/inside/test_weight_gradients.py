"""Gradients of the matrices of queries, keys and values, against differences of the score."""

from __future__ import annotations

import pytest
import timm
import torch

import vitviz
from vitviz.inside.weight_gradients import projection_gradient, projection_gradients
from vitviz.methods.gradients import Score

STEP = 1e-3


@pytest.fixture(scope="module")
def rec() -> vitviz.Recording:
    torch.manual_seed(0)
    options = {"img_size": 32, "depth": 2, "embed_dim": 24, "num_heads": 3, "num_classes": 4}
    module = timm.create_model("vit_tiny_patch16_224", **options).eval()
    for block in module.blocks:
        torch.nn.init.normal_(block.attn.qkv.weight, std=0.3)
    torch.nn.init.normal_(module.head.weight, std=0.5)
    photo = vitviz.load_image(vitviz.samples()[0].path)
    return vitviz.record(vitviz.from_module(module), photo)


def slope(rec: vitviz.Recording, layer: int, part: int, direction: torch.Tensor) -> float:
    """How fast the logit of class 2 rises when one of three matrices moves, in float64."""
    module = rec.vit.module.double()
    weight = module.blocks[layer].attn.qkv.weight
    rows = slice(part * len(direction), (part + 1) * len(direction))
    logits = []
    with torch.no_grad():
        for sign in (1, -1):
            weight[rows] += sign * STEP * direction.double()
            logits.append(float(module(rec.pixels[None].double())[0, 2]))
            weight[rows] -= sign * STEP * direction.double()
    module.float()
    return (logits[0] - logits[1]) / (2 * STEP)


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("layer", range(2))
def test_the_score_rises_along_its_gradient_as_fast_as_that_is_long(
    rec: vitviz.Recording, layer: int, part: int
) -> None:
    lengths = projection_gradients(rec, Score(2))
    found = projection_gradient(rec, Score(2), layer)[part]
    assert found.shape == (24, 24)
    along = found / found.norm()
    assert slope(rec, layer, part, along) == pytest.approx(float(lengths[layer, part]), rel=1e-3)
    other = torch.randn(24, 24, generator=torch.Generator().manual_seed(part))
    expected = float((found * other).sum()) / float(other.norm())
    assert slope(rec, layer, part, other / other.norm()) == pytest.approx(
        expected, rel=2e-2, abs=1e-4
    )


def test_the_model_is_left_as_it_was(rec: vitviz.Recording) -> None:
    projection_gradients(rec, Score(0))
    assert all(p.grad is None for p in rec.vit.module.parameters())


def test_three_matrices_apart_are_refused() -> None:
    module = timm.create_model("cait_xxs24_224", img_size=32, depth=1, num_classes=4).eval()
    other = vitviz.record(vitviz.from_module(module), vitviz.load_image(vitviz.samples()[0].path))
    with pytest.raises(vitviz.MethodError, match="one matrix"):
        projection_gradients(other, Score(0))
