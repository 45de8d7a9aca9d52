"""Curves with few points where they are flat, against those with all."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from families import random_classifier
from heatmaps import heatmap
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import vitviz
from vitviz.measures.curves import (
    Change,
    Curve,
    deletion,
    insertion,
    masked_input,
    quick_curve,
    value_at,
)
from vitviz.models.outputs import Outputs
from vitviz.recording.recording import Recording

CURVES = {"deletion": deletion, "insertion": insertion}


class Staircase(nn.Module):
    """Class 1's probability, by the number of patches that are not grey."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, pixels: Tensor) -> Tensor:
        left = (pixels[:, 0, ::16, ::16] != 0).sum(dim=(1, 2))
        return torch.stack([torch.zeros(len(left)), self.values[left].logit()], dim=-1)


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    """Of 32 patches, each of one colour."""
    torch.manual_seed(0)
    module = random_classifier("vit")
    rec = vitviz.record(vitviz.from_module(module), photo)
    return replace(rec, pixels=torch.ones(3, 64, 128), grid=(4, 8))


def staircase(rec: Recording, values: NDArray[np.float64]) -> Recording:
    """Its curve of deletion: `values` after 0, 1, … 32 patches."""
    module = Staircase(torch.from_numpy(values[::-1].copy())).eval()
    vit = replace(rec.vit, module=module)
    return replace(rec, vit=vit, logits=module(rec.pixels[None])[0])


def any_map() -> vitviz.Heatmap:
    return heatmap(np.random.default_rng(0).permutation(32).reshape(4, 8).astype(np.float32))


def points(curve: Curve) -> list[int]:
    return [round(32 * share) for share in curve.shares]


def test_a_flat_curve_needs_five_points(rec: Recording) -> None:
    flat = staircase(rec, np.linspace(0.5, 0.45, 33))
    curve = quick_curve(flat, any_map(), "deletion", 1, tolerance=0.02)
    assert points(curve) == [0, 8, 16, 24, 32]
    assert curve.area == pytest.approx(0.475)


def test_a_step_is_found_and_nothing_else_is_measured(rec: Recording) -> None:
    """From 0.9 to 0.1 after the 11th patch: the stretch over it is halved until 0.8 · w / 2 of its
    w is no more than the tolerance: to a 32nd."""
    step = staircase(rec, np.where(np.arange(33) < 11, 0.9, 0.1))
    curve = quick_curve(step, any_map(), "deletion", 1, tolerance=0.02)
    assert points(curve) == [0, 8, 10, 11, 12, 16, 24, 32]
    exact = deletion(step, any_map(), 1).area
    assert exact == pytest.approx((10.5 * 0.9 + 21.5 * 0.1) / 32)
    assert curve.area == pytest.approx(exact)
    coarse = quick_curve(step, any_map(), "deletion", 1, tolerance=0.06)
    assert points(coarse) == [0, 8, 12, 16, 24, 32]  # 0.8 · 4/32 / 2 = 0.05


@pytest.mark.parametrize("seed", range(8))
def test_the_area_of_a_falling_curve_is_within_its_bound(rec: Recording, seed: int) -> None:
    falling = np.sort(np.random.default_rng(seed).beta(0.3, 0.3, 33))[::-1].clip(0.001, 0.999)
    model = staircase(rec, falling)
    exact = deletion(model, any_map(), 1)
    for tolerance in (0.05, 0.02, 0.005):
        curve = quick_curve(model, any_map(), "deletion", 1, tolerance=tolerance)
        pairs = zip(pairwise(curve.shares), pairwise(curve.values), strict=True)
        halves = [(b - a) * abs(w - v) / 2 for (a, b), (v, w) in pairs]
        finest = np.diff(curve.shares) == 1 / 32
        assert (np.array(halves)[~finest] <= tolerance).all()
        assert abs(curve.area - exact.area) <= sum(halves)


@pytest.mark.parametrize("change", CURVES)
@pytest.mark.parametrize("tolerance", [0.0, 0.0005, 0.01])
def test_its_points_are_points_of_the_exact_curve(
    photo: Image.Image, change: Change, tolerance: float
) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), photo)
    heat = vitviz.explain(rec, "relevance", target=2)
    exact = CURVES[change](replace(rec), heat)
    shares: list[float] = []
    curve = quick_curve(rec, heat, change, tolerance=tolerance, progress=shares.append)
    at = np.searchsorted(exact.shares, curve.shares)
    np.testing.assert_array_equal(exact.shares[at], curve.shares)
    np.testing.assert_allclose(curve.values, exact.values[at], atol=1e-6)
    assert len(curve.shares) == 25 if tolerance == 0 else 5 <= len(curve.shares) < 25
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_scores_are_as_fine_in_every_unit(rec: Recording) -> None:
    curve = np.linspace(1, 0, 33) ** 4 * 0.98 + 0.01
    in_units = []
    for unit in (0.001, 1000.0):

        class Scaled(Staircase):
            def forward(self, pixels: Tensor, unit: float = unit) -> Tensor:
                return unit * super().forward(pixels)[:, 1:].sigmoid()

        module = Scaled(torch.from_numpy(curve[::-1].copy())).eval()
        vit = replace(rec.vit, module=module)
        scored = replace(rec, vit=vit, reading=Outputs("score"), logits=module(rec.pixels[None])[0])
        in_units.append(points(quick_curve(scored, any_map(), "deletion", 0, tolerance=0.01)))
    assert in_units[0] == in_units[1]
    assert 5 < len(in_units[0]) < 33


@pytest.mark.parametrize("change", CURVES)
def test_the_value_at_a_point_is_that_of_a_pass_of_its_own(
    photo: Image.Image, change: Change
) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), photo)
    heat = vitviz.explain(rec, "attention")
    for share in (0.0, 0.3, 1.0):
        with torch.no_grad():
            logits = rec.vit.module(masked_input(rec, heat, share, change)[None])[0].double()
        found = value_at(rec, heat, share, change, 2)
        assert found == pytest.approx(float(logits.softmax(-1)[2]), abs=1e-6)


def test_there_are_two_changes(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), photo)
    heat = vitviz.explain(rec, "attention")
    with pytest.raises(vitviz.MethodError, match="no change “blur”"):
        quick_curve(rec, heat, "blur", tolerance=0.02)  # type: ignore[arg-type]
