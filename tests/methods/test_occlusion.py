"""Methods that run the model many times, their progress, and the random baseline."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import timm
import torch
from families import random_classifier
from hooks import is_left_alone
from PIL import Image

import vitviz
from vitviz.progress import TOKENS_AT_ONCE, batches
from vitviz.recording.recording import Recording

SLOW = [method.id for method in vitviz.METHODS.values() if method.slow]


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    return vitviz.record(vitviz.from_module(random_classifier("vit")), photo)


def reference_occlusion(
    rec: Recording, targets: list[int], window: int, stride: int
) -> list[np.ndarray]:
    """For each target; one forward pass a window, its pixels set one patch at a time."""
    module = copy.deepcopy(rec.vit.module).double()
    rows, cols = rec.grid
    height, width = rec.pixels.shape[1] // rows, rec.pixels.shape[2] // cols

    def probabilities(pixels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return module(pixels[None])[0].softmax(-1)

    def starts(length: int) -> list[int]:
        return sorted({min(s, length - window) for s in range(0, length, stride)})

    drops: dict[tuple[int, int], list[torch.Tensor]] = {
        (r, c): [] for r in range(rows) for c in range(cols)
    }
    whole = probabilities(rec.pixels.double())
    for top in starts(rows):
        for left in starts(cols):
            inside = [(top + i, left + j) for i in range(window) for j in range(window)]
            pixels = rec.pixels.double().clone()
            for r, c in inside:
                pixels[:, r * height : (r + 1) * height, c * width : (c + 1) * width] = 0.0
            drop = whole - probabilities(pixels)
            for patch in inside:
                drops[patch].append(drop)

    def mean_drop(patch: tuple[int, int], target: int) -> float:
        return max(0.0, float(np.mean([float(drop[target]) for drop in drops[patch]])))

    return [
        np.array([[mean_drop((r, c), target) for c in range(cols)] for r in range(rows)])
        for target in targets
    ]


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (2, 1), (2, 2), (3, 2), (4, 3)])
def test_occlusion(photo: Image.Image, family: str, window: int, stride: int) -> None:
    vit = vitviz.from_module(random_classifier(family))
    rec = vitviz.record(vit, photo)
    targets = [0, 3]
    for target, expected in zip(
        targets, reference_occlusion(rec, targets, window, stride), strict=True
    ):
        heat = vitviz.explain(rec, "occlusion", target=target, window=window, stride=stride)
        np.testing.assert_allclose(heat.values, expected, atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(2, 1), (3, 3)])
def test_small_patches_are_hidden_in_cells(photo: Image.Image, window: int, stride: int) -> None:
    """A Swin of 32 × 32 first patches: a window and its stride count cells of two patches."""
    torch.manual_seed(0)
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=128,
        window_size=4,
        embed_dim=16,
        depths=(1, 1),
        num_heads=(2, 2),
        num_classes=4,
    )
    torch.nn.init.normal_(swin.get_parameter("head.fc.weight"), std=2)
    rec = vitviz.record(vitviz.from_module(swin.eval()), photo)
    assert rec.grid == (32, 32)
    [expected] = reference_occlusion(rec, [1], 2 * window, 2 * stride)
    heat = vitviz.explain(rec, "occlusion", target=1, window=window, stride=stride)
    np.testing.assert_allclose(heat.values, expected, atol=1e-5)


def test_a_window_larger_than_the_photo_hides_it_all(rec: Recording) -> None:
    target = rec.predictions[0].index
    with torch.no_grad():
        grey = rec.vit.module(torch.zeros_like(rec.pixels)[None])[0].softmax(-1)[target]
    heat = vitviz.explain(rec, "occlusion", window=8, stride=8)
    drop = max(0.0, rec.predictions[0].probability - float(grey))
    np.testing.assert_allclose(heat.values, np.full(rec.grid, drop), atol=1e-6)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("method", SLOW)
class TestProgress:
    def test_it_rises_to_one(self, rec: Recording, method: str) -> None:
        seen: list[float] = []
        heat = vitviz.explain(rec, method, progress=seen.append)
        assert seen == sorted(seen)
        assert seen[0] > 0
        assert seen[-1] == 1
        assert np.array_equal(heat.values, vitviz.explain(rec, method).values)

    def test_it_can_stop_the_computation(self, rec: Recording, method: str, monkeypatch) -> None:
        monkeypatch.setattr("vitviz.progress.TOKENS_AT_ONCE", rec.num_tokens)
        seen: list[float] = []

        def stop(share: float) -> None:
            seen.append(share)
            if len(seen) == 2:
                raise Stopped

        with pytest.raises(Stopped):
            vitviz.explain(rec, method, progress=stop)
        assert len(seen) == 2
        assert seen[-1] < 1
        assert is_left_alone(rec.vit.module)

    def test_the_size_of_a_batch_changes_nothing_but_rounding(
        self, rec: Recording, method: str, monkeypatch
    ) -> None:
        whole = vitviz.explain(rec, method).values
        monkeypatch.setattr("vitviz.progress.TOKENS_AT_ONCE", 1)
        np.testing.assert_allclose(
            vitviz.explain(rec, method).values, whole, rtol=1e-3, atol=1e-4 * whole.max()
        )


def test_only_slow_methods_report_progress(rec: Recording) -> None:
    for method in (m for m in vitviz.METHODS.values() if m.suits(rec)):
        seen: list[float] = []
        vitviz.explain(rec, method.id, progress=seen.append)
        assert bool(seen) == method.slow


@pytest.mark.parametrize("count", [1, 5, 64])
@pytest.mark.parametrize("tokens", [10, 257, 1370, 5000])
def test_batches_cover_everything_once_in_bounded_memory(count: int, tokens: int) -> None:
    seen: list[float] = []
    parts = list(batches(count, tokens, seen.append))
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    largest = max(part.stop - part.start for part in parts)
    assert largest == 1 or largest * tokens <= TOKENS_AT_ONCE
    assert len(seen) == len(parts)


def test_random_is_its_seed(rec: Recording) -> None:
    one, same, other = (vitviz.explain(rec, "random", seed=seed).values for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    state = torch.random.get_rng_state()
    vitviz.explain(rec, "random")
    assert torch.equal(torch.random.get_rng_state(), state)
