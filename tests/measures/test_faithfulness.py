"""Faithfulness measures: on models whose answer can be computed by hand, and on real ones."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from families import random_classifier
from heatmaps import heatmap
from hooks import is_left_alone
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from measured import CURVES, MEASURES, Measure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms.functional import gaussian_blur, pil_to_tensor

import vitviz
from vitviz.measures.faithfulness import (
    PERTURBED,
    Curve,
    deletion,
    insertion,
    masked_input,
    perturbation,
    removal_order,
    saco,
    versus_random,
)
from vitviz.pictures.input import input_picture
from vitviz.recording.recording import Recording


class SumOfPatches(nn.Module):
    """Class 1's logit is a weighted sum of the patches' mean colours; class 0's is 0."""

    def __init__(self, weights: Tensor, bias: float) -> None:
        super().__init__()
        self.weights, self.bias = weights, bias

    def forward(self, pixels: Tensor) -> Tensor:
        colours = nn.functional.adaptive_avg_pool2d(pixels, self.weights.shape).mean(dim=1)
        logit = (colours * self.weights).sum(dim=(1, 2)) + self.bias
        return torch.stack([torch.zeros_like(logit), logit], dim=-1)


def additive(
    rec: Recording,
    weights: NDArray[np.float32],
    colours: NDArray[np.float32] | None = None,
    bias: float = 0.0,
) -> Recording:
    """The same recording of a model that adds up its patches, each of one colour, 1 by default."""
    module = SumOfPatches(torch.from_numpy(weights), bias).eval()
    chosen = np.ones(rec.grid, np.float32) if colours is None else colours
    pixels = torch.from_numpy(np.kron(chosen, np.ones((3, 16, 16), np.float32)))
    vit = replace(rec.vit, module=module)
    return replace(rec, vit=vit, pixels=pixels, logits=module(pixels[None])[0])


def sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logit))


def weights_of(seed: int, grid: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(seed).permutation(grid[0] * grid[1]).reshape(grid) / np.float32(20)


@given(arrays(np.float32, (3, 5), elements=st.integers(0, 4)))
def test_the_removal_order_is_stable(values: NDArray[np.float32]) -> None:
    expected = sorted(range(15), key=lambda i: (-values.flat[i], i))
    assert removal_order(heatmap(values)).tolist() == expected


def test_the_area_of_a_known_curve() -> None:
    assert Curve(np.array([0.0, 0.25, 1.0]), np.array([1.0, 0.5, 0.1])).area == pytest.approx(
        0.25 * 0.75 + 0.75 * 0.3
    )
    assert Curve(np.array([0.0, 1.0]), np.array([1.0, 1.0])).area == 1


class TestAnAdditiveModel:
    @pytest.mark.parametrize("steps", [1, 5, 24, 100])
    def test_its_deletion_curve(self, rec: Recording, steps: int) -> None:
        weights = weights_of(0, rec.grid)
        curve = deletion(additive(rec, weights), heatmap(weights), 1, steps=steps)
        left = np.append(np.sort(weights.ravel())[::-1], 0)[::-1].cumsum()[::-1]  # after k patches
        counts = np.rint(curve.shares * 24).astype(int)
        np.testing.assert_allclose(curve.values, sigmoid(left[counts]), atol=1e-6)
        np.testing.assert_array_equal(curve.shares, counts / 24)
        assert len(curve.shares) == min(steps, 24) + 1
        assert set(np.diff(counts)) <= {24 // min(steps, 24), 24 // min(steps, 24) + 1}
        assert (counts[0], counts[-1]) == (0, 24)

    def test_its_insertion_curve(self, rec: Recording) -> None:
        weights = weights_of(1, rec.grid)
        model = additive(rec, weights)
        generator = torch.Generator().manual_seed(0)
        model = replace(model, pixels=torch.rand(rec.pixels.shape, generator=generator))
        deviation = 0.045 * 64
        blurred = gaussian_blur(model.pixels, [15, 15], [deviation, deviation])
        curve = insertion(model, heatmap(weights), 1, steps=24)
        pixels, expected = blurred.clone(), []
        for patch in [None, *removal_order(heatmap(weights))]:
            if patch is not None:
                row, col = divmod(int(patch), 6)
                rows, cols = slice(16 * row, 16 * row + 16), slice(16 * col, 16 * col + 16)
                pixels[:, rows, cols] = model.pixels[:, rows, cols]
            expected.append(float(model.vit.module(pixels[None])[0].softmax(-1)[1]))
        np.testing.assert_allclose(curve.values, expected, atol=1e-6)

    def test_the_right_order_has_the_smallest_deletion_area(self, rec: Recording) -> None:
        weights = weights_of(2, rec.grid)
        model = additive(rec, weights, bias=-5.0)
        best = deletion(model, heatmap(weights), 1).area
        worst = deletion(model, heatmap(weights.max() - weights), 1).area
        areas = [deletion(model, vitviz.explain(rec, "random", seed=k), 1).area for k in range(9)]
        assert best < min(areas) <= max(areas) < worst

    @pytest.mark.parametrize("groups", [2, 4, 8, 12, 24])
    def test_saco_is_one_for_the_right_order_and_minus_one_for_the_inverse(
        self, rec: Recording, groups: int
    ) -> None:
        colours = np.random.default_rng(4).random(rec.grid, np.float32)
        weights = weights_of(3, rec.grid)
        gives = weights * (colours - colours.mean())  # what the mean colour in its place takes away
        model = additive(rec, weights, colours, bias=-4.0)
        assert saco(model, heatmap(gives - gives.min()), 1, groups=groups) == 1
        assert saco(model, heatmap(gives.max() - gives), 1, groups=groups) == -1

    def test_its_perturbation(self, rec: Recording) -> None:
        weights = weights_of(5, rec.grid)
        model = additive(rec, weights, bias=-float(weights.sum()) / 2)  # more than half is needed
        model = replace(model, vit=replace(model.vit, transform=transforms.ToTensor()))  # black: 0
        ordered = np.sort(weights.ravel())
        counts = np.rint(24 * PERTURBED).astype(int)
        for positive, rising in ((True, ordered), (False, ordered[::-1])):
            expected = [rising[: 24 - count].sum() > weights.sum() / 2 for count in counts]
            kept = perturbation(model, heatmap(weights), 1, positive=positive)
            assert kept.tolist() == expected
            assert kept.dtype == np.bool_
            assert kept.any()
            assert not kept.all()


def test_equal_drops_are_in_order(rec: Recording) -> None:
    model = additive(rec, np.zeros(rec.grid, np.float32))
    assert saco(model, vitviz.explain(rec, "random"), 1) == 1  # ≥ in the paper


def test_a_constant_map_has_no_saco(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("dinov2 registers")), photo)
    assert rec.grid == (5, 5)  # groups of 3 and of 2 patches
    for value in (0.0, 0.1, 1 / 3):
        assert saco(rec, heatmap(np.full(rec.grid, value))) == 0


class OneByOne:
    """The measures again, in float64, an input and a patch at a time."""

    def __init__(self, rec: Recording, heat: vitviz.Heatmap, target: int) -> None:
        self.rec, self.target = rec, target
        self.module = copy.deepcopy(rec.vit.module).double()
        self.pixels = rec.pixels.double()
        rows, cols = rec.grid
        self.size = self.pixels.shape[1] // rows, self.pixels.shape[2] // cols
        patches = [(r, c) for r in range(rows) for c in range(cols)]
        self.order = sorted(patches, key=lambda patch: -heat.values[patch])
        self.values = [float(heat.values[patch]) for patch in self.order]

    def logits(self, patches: list[tuple[int, int]], filling: Tensor) -> Tensor:
        pixels, (height, width) = self.pixels.clone(), self.size
        for r, c in patches:
            there = (
                slice(None),
                slice(r * height, (r + 1) * height),
                slice(c * width, (c + 1) * width),
            )
            pixels[there] = filling.expand_as(pixels)[there]
        with torch.no_grad():
            return self.module(pixels[None])[0]

    def probability(self, patches: list[tuple[int, int]], filling: Tensor) -> float:
        return float(self.logits(patches, filling).softmax(-1)[self.target])

    def deletion(self) -> list[float]:
        grey = torch.zeros(1, dtype=torch.float64)
        return [self.probability(self.order[:n], grey) for n in range(len(self.order) + 1)]

    def perturbation(self, positive: bool) -> list[bool]:
        order = self.order if positive else self.order[::-1]
        normalise = next(
            step
            for step in self.rec.vit.transform.transforms
            if isinstance(step, transforms.Normalize)
        )
        black = normalise(torch.zeros(3, 1, 1)).double()
        counts = [round(len(order) * tenths / 10) for tenths in range(1, 10)]
        return [int(self.logits(order[:count], black).argmax()) == self.target for count in counts]

    def saco(self, groups: int) -> float:
        grey = self.pixels.mean(dim=(1, 2), keepdim=True)
        size, more = divmod(len(self.order), groups)
        starts = [k * size + min(k, more) for k in range(groups + 1)]
        whole, salience, drops = self.probability([], grey), [], []
        for start, stop in pairwise(starts):
            salience.append(sum(self.values[start:stop]) / (stop - start))
            drops.append(whole - self.probability(self.order[start:stop], grey))
        signed = total = 0.0
        for i in range(groups):
            for j in range(i + 1, groups):
                weight = salience[i] - salience[j]
                signed += weight if drops[i] >= drops[j] else -weight
                total += abs(weight)
        return signed / total


class TestEveryFamily:
    def test_measures_equal_a_second_implementation(self, photo: Image.Image, family: str) -> None:
        rec = vitviz.record(vitviz.from_module(random_classifier(family)), photo)
        for target in (rec.predictions[0].index, 3):
            heat = vitviz.explain(rec, "relevance", target=target)
            other = OneByOne(rec, heat, target)
            curve = deletion(rec, heat, target, steps=len(other.order))
            np.testing.assert_allclose(curve.values, other.deletion(), atol=1e-5)
            for positive in (True, False):
                kept = perturbation(rec, heat, target, positive=positive)
                assert kept.tolist() == other.perturbation(positive)
            for groups in (4, 10):
                assert saco(rec, heat, target, groups=groups) == pytest.approx(other.saco(groups))

    def test_the_ends_of_the_curves(self, photo: Image.Image, family: str) -> None:
        rec = vitviz.record(vitviz.from_module(random_classifier(family)), photo)
        top = rec.predictions[0]
        one, other = (vitviz.explain(rec, "random", seed=seed) for seed in (0, 1))
        assert deletion(rec, one).values[0] == pytest.approx(top.probability, abs=1e-5)
        assert insertion(rec, one).values[-1] == pytest.approx(top.probability, abs=1e-5)
        for curve, end in ((deletion, -1), (insertion, 0)):
            ends = [curve(rec, heat).values[end] for heat in (one, other)]
            assert ends[0] == pytest.approx(ends[1], abs=1e-6)

    def test_the_model_is_left_as_it_was(self, photo: Image.Image, family: str) -> None:
        rec = vitviz.record(vitviz.from_module(random_classifier(family)), photo)
        heat = vitviz.explain(rec, "random")
        pixels = rec.pixels.clone()
        weights = copy.deepcopy(rec.vit.module.state_dict())
        for measure in MEASURES.values():
            measure(rec, heat)
        assert is_left_alone(rec.vit.module)
        assert all(parameter.grad is None for parameter in rec.vit.module.parameters())
        assert all(torch.equal(v, weights[k]) for k, v in rec.vit.module.state_dict().items())
        assert torch.equal(rec.pixels, pixels)


@pytest.mark.parametrize("change", CURVES)
def test_an_input_is_the_curves_own(rec: Recording, change: str) -> None:
    heat = vitviz.explain(rec, "random")
    curve = CURVES[change](rec, heat, 2, steps=6)
    for share, probability in zip(curve.shares, curve.values, strict=True):
        pixels = masked_input(rec, heat, share, change)
        assert pixels.shape == rec.pixels.shape
        with torch.no_grad():
            logits = rec.vit.module(pixels[None])[0]
        assert float(logits.softmax(-1)[2]) == pytest.approx(probability, abs=1e-6)
    unchanged = masked_input(rec, heat, float(change == "insertion"), change)
    assert torch.equal(unchanged, rec.pixels)


def test_an_input_can_be_shown(rec: Recording, photo: Image.Image) -> None:
    values = np.zeros(rec.grid)
    values[1, 2] = 1
    picture = input_picture(rec.vit, masked_input(rec, heatmap(values), 1 / 24, "deletion"))
    shown = pil_to_tensor(picture).int()
    original = transforms.Compose(rec.vit.transform.transforms[:-1])(photo)
    changed = torch.zeros(64, 96, dtype=torch.bool)
    changed[16:32, 32:48] = True
    assert (shown - 255 * original)[:, ~changed].abs().max() <= 1
    assert (shown[:, changed] - 127).abs().max() <= 1  # this model's mean colour


def test_versus_random(rec: Recording) -> None:
    areas = [deletion(rec, vitviz.explain(rec, "random", seed=k)).area for k in range(5)]
    mean, deviation = versus_random(rec, lambda heat: deletion(rec, heat).area)
    assert mean == pytest.approx(sum(areas) / 5)
    assert deviation == pytest.approx((sum((a - mean) ** 2 for a in areas) / 4) ** 0.5)
    mean, _ = versus_random(rec, lambda heat: deletion(rec, heat).values, seeds=3)
    assert mean.shape == (25,)


@pytest.mark.parametrize(
    "measure",
    [
        lambda _: "high",
        lambda _: "0.5",
        lambda _: None,
        lambda heat: {"area": heat.values.mean()},
        lambda heat: np.zeros(1 + int(1000 * heat.values[0, 0])),
    ],
    ids=["text", "number as text", "nothing", "dict", "other shapes"],
)
def test_a_measure_that_gives_no_numbers_is_refused(measure: Measure, rec: Recording) -> None:
    with pytest.raises(vitviz.MethodError, match="has to give a number"):
        versus_random(rec, measure, seeds=2)


def test_relevance_beats_random_on_the_bundled_model() -> None:
    [sample] = [sample for sample in vitviz.samples() if sample.id == "cat-and-coffee"]
    rec = vitviz.record(vitviz.load_model(), vitviz.load_image(sample.path))
    target = rec.predictions[0].index
    heat = vitviz.explain(rec, "relevance", target=target)

    def area(heat: vitviz.Heatmap) -> float:
        return deletion(rec, heat, target, steps=4).area

    mean, deviation = versus_random(rec, area)
    assert area(heat) < mean - deviation
