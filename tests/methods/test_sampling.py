"""Methods that draw photos at random or run many of them, against what is known of simple games."""

from __future__ import annotations

from itertools import combinations, permutations, product
from math import factorial
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, ShapleyValues
from families import random_classifier
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import vitviz
from vitviz.interventions.masking import grey, patch_sums
from vitviz.methods import rise as rise_module
from vitviz.methods.cells import cells_of
from vitviz.methods.gradients import Score, pixel_gradients
from vitviz.methods.integrated_gradients import contributions
from vitviz.methods.rise import draw_masks
from vitviz.methods.shapley import draw_orders, gains
from vitviz.models.outputs import Outputs
from vitviz.recording.recording import Recording

GRID = (2, 3)
PATCHES = 6


def quiet(share: float) -> None:
    del share


class Game(nn.Module):
    """A score of the patches that are seen, each of one pixel and 1 where it is."""

    def __init__(self, alone: Tensor, together: Tensor) -> None:
        super().__init__()
        self.alone, self.together = nn.Parameter(alone), nn.Parameter(together)

    def forward(self, pixels: Tensor) -> Tensor:
        seen = pixels[:, 0].flatten(1)
        score = 2.0 + seen @ self.alone + ((seen @ self.together) * seen).sum(dim=-1)
        return torch.stack([score, -score], dim=-1)


def played(alone: Tensor, together: Tensor | None = None) -> Recording:
    """A recording of a game in which all patches are seen."""
    together = torch.zeros(PATCHES, PATCHES) if together is None else together
    vit = vitviz.Vit(Game(alone, together).eval(), "game", (), transforms.ToTensor())
    pixels = torch.ones(3, *GRID)
    with torch.no_grad():
        logits = vit.module(pixels[None])[0]
    box = (0.0, 0.0, 3.0, 2.0)
    return Recording(
        vit, pixels, logits, (), None, GRID, 0, False, box, 0.0, reading=Outputs("score")
    )


ALONE = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, 1.5])


@pytest.fixture
def together() -> Tensor:
    return torch.randn(PATCHES, PATCHES, generator=torch.Generator().manual_seed(0)).triu(1)


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    return vitviz.record(vitviz.from_module(random_classifier("dinov2 registers")), photo)


def enumerated(rec: Recording, cells: Tensor, target: int) -> np.ndarray:
    """Shapley values by their definition: every set of the other cells, weighted."""
    players = int(cells.max()) + 1
    patches = cells.repeat_interleave(rec.patch_size[0], 0).repeat_interleave(rec.patch_size[1], 1)

    def worth(seen: tuple[int, ...]) -> float:
        shown = torch.isin(patches, torch.tensor(seen, dtype=torch.long))
        with torch.no_grad():
            logits = rec.vit.module((rec.pixels * shown)[None])[0]
        return float(rec.values(logits)[target])

    values = np.zeros(players)
    for player in range(players):
        others = [other for other in range(players) if other != player]
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            for seen in combinations(others, size):
                values[player] += weight * (worth((*seen, player)) - worth(seen))
    return values


class TestShapley:
    def test_all_orders_give_the_exact_values(self, rec: Recording) -> None:
        """On a model: a grid of 5 × 5 patches in four squares of up to 3 × 3."""
        cells = cells_of(rec, 3)
        assert cells.tolist() == [[0, 0, 0, 1, 1]] * 3 + [[2, 2, 2, 3, 3]] * 2
        orders = torch.tensor(list(permutations(range(4))))
        found = gains(rec, Score(1), orders, cells, quiet).mean(dim=0)
        np.testing.assert_allclose(found.numpy(), enumerated(rec, cells, 1), atol=1e-5)

    def test_captum_finds_the_same(self, rec: Recording) -> None:
        cells = cells_of(rec, 3)
        height, width = rec.patch_size
        mask = cells.repeat_interleave(height, 0).repeat_interleave(width, 1)
        of_channels = mask.expand(1, 3, -1, -1).contiguous()

        def value(pixels: Tensor) -> Tensor:
            with torch.no_grad():
                return rec.values(rec.vit.module(pixels))[:, 1]

        theirs = ShapleyValues(value).attribute(
            rec.pixels[None], baselines=0.0, feature_mask=of_channels
        )
        heat = vitviz.explain(rec, "shapley", target=1, side=3, pairs=200)
        exact = theirs[0, 0, ::height, ::width] / cells.flatten().bincount()[cells]
        assert heat.errors is not None
        assert (np.abs(heat.values - exact.clamp(min=0).numpy()) <= 4 * heat.errors + 1e-6).all()
        assert 0 < heat.errors.max() < 0.2 * heat.values.max()

    def test_they_sum_to_what_the_photo_has_more_than_grey(self, rec: Recording) -> None:
        cells = cells_of(rec, 2)
        found = gains(rec, Score(2), draw_orders(9, 2, seed=3), cells, quiet)
        with torch.no_grad():
            plain = rec.values(rec.vit.module(torch.zeros_like(rec.pixels)[None]))[0, 2]
        gained = (rec.values(rec.logits)[2] - plain).expand(4)
        torch.testing.assert_close(found.sum(dim=-1), gained)  # whatever the order

    def test_of_a_sum_they_are_its_parts(self) -> None:
        heat = vitviz.explain(played(ALONE), "shapley", target=0, side=1, pairs=2)
        np.testing.assert_allclose(heat.values.ravel(), ALONE.clamp(min=0), atol=1e-5)
        assert heat.errors == pytest.approx(0, abs=1e-5)

    def test_an_order_and_its_reverse_share_pairs_alike(self, together: Tensor) -> None:
        rec = played(ALONE, together)
        found = gains(rec, Score(0), draw_orders(PATCHES, 1, 0), cells_of(rec, 1), quiet)
        expected = ALONE + (together + together.T).sum(dim=0) / 2
        torch.testing.assert_close(found.mean(dim=0), expected)

    def test_a_patch_that_changes_nothing_has_none(self, together: Tensor) -> None:
        together[4], together[:, 4] = 0, 0
        rec = played(ALONE, together)
        found = gains(rec, Score(0), draw_orders(PATCHES, 3, 0), cells_of(rec, 1), quiet)
        assert ALONE[4] == 0
        torch.testing.assert_close(found[:, 4], torch.zeros(6), atol=1e-5, rtol=0)

    def test_orders_come_with_their_reverse(self) -> None:
        orders = draw_orders(7, 3, seed=1)
        assert (orders.sort(dim=-1).values == torch.arange(7)).all()
        assert torch.equal(orders[::2].flip(-1), orders[1::2])


class TestRise:
    def test_over_all_masks_it_is_the_conditional_mean(self, together, monkeypatch) -> None:
        """Every mask once, in pairs: E[f | patch i is seen] by its definition."""
        rec = played(ALONE, together)
        masks = torch.tensor(list(product([False, True], repeat=PATCHES)))
        half = masks[: len(masks) // 2].view(-1, *GRID)
        monkeypatch.setattr(rise_module, "draw_masks", lambda *_: half)
        with torch.no_grad():
            scores = rec.vit.module(masks.float().view(-1, 1, *GRID).expand(-1, 3, -1, -1))[:, 0]
        expected = torch.stack([scores[masks[:, i]].mean() for i in range(PATCHES)])
        heat = vitviz.explain(rec, "rise", target=0, pairs=len(half))
        np.testing.assert_allclose(heat.values.ravel(), expected.clamp(min=0), atol=1e-5)

    def test_of_a_sum_it_is_the_part_and_half_of_the_others(self) -> None:
        heat = vitviz.explain(played(ALONE), "rise", target=0, pairs=2000, side=1)
        expected = 2 + ALONE + (ALONE.sum() - ALONE) / 2
        assert heat.errors is not None
        assert (np.abs(heat.values.ravel() - expected.numpy()) < 4 * heat.errors.ravel()).all()
        # f = 2 + Σ w_j M_j: the other patches' bits vary, each by w/2
        spread = ((ALONE**2).sum() - ALONE**2).sqrt() / 2 / 2000**0.5
        np.testing.assert_allclose(heat.errors.ravel(), spread, rtol=0.1)

    def test_masks_are_squares_shifted_alike(self) -> None:
        masks = draw_masks((7, 9), 400, 3, seed=0)
        assert masks.float().mean(dim=0).sub(0.5).abs().max() < 0.12
        for mask in masks[:20]:  # on some grid of 3 × 3 squares, all patches of a square are alike
            rows = [r for r in range(1, 7) if (mask[r] != mask[r - 1]).any()]
            cols = [c for c in range(1, 9) if (mask[:, c] != mask[:, c - 1]).any()]
            assert len({r % 3 for r in rows}) <= 1
            assert len({c % 3 for c in cols}) <= 1
        one_row = {r % 3 for mask in masks for r in range(1, 7) if (mask[r] != mask[r - 1]).any()}
        assert one_row == {0, 1, 2}

    def test_the_seed_is_all_that_is_drawn(self, rec: Recording) -> None:
        one, same, other = (
            vitviz.explain(rec, "rise", pairs=4, seed=seed).values for seed in (1, 1, 2)
        )
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)


class TestIntegratedGradients:
    def test_they_sum_to_the_difference_of_the_logits(self, photo: Image.Image) -> None:
        rec = vitviz.record(vitviz.from_module(random_classifier("vit", depth=1)), photo)
        found = contributions(rec, Score(3, 1), 100, quiet)
        with torch.no_grad():
            logits = rec.vit.module(torch.stack([rec.pixels, rec.pixels * 0 + grey(rec)]))
        photo, plain = logits[:, 3] - logits[:, 1]
        assert float(found.sum()) == pytest.approx(float(photo - plain), rel=1e-2)

    def test_captum_finds_the_same(self, rec: Recording) -> None:
        theirs = IntegratedGradients(rec.vit.module).attribute(
            rec.pixels[None], 0.0, target=2, n_steps=7, method="gausslegendre"
        )
        found = contributions(rec, Score(2), 7, quiet)
        expected = patch_sums(rec, theirs[0].float())
        torch.testing.assert_close(found, expected, atol=1e-3 * float(expected.abs().max()), rtol=0)
        heat = vitviz.explain(rec, "integrated_gradients", target=2, steps=7)
        np.testing.assert_array_equal(heat.values.ravel(), found.clamp(min=0))

    def test_of_products_two_steps_are_exact(self, together: Tensor) -> None:
        """Between two patches a product is shared out alike."""
        found = contributions(played(ALONE, together), Score(0), 2, quiet)
        expected = ALONE + (together + together.T).sum(dim=0) / 2
        torch.testing.assert_close(found, expected)


class TestSmoothGrad:
    def test_one_sample_without_noise_is_the_gradient(self, rec: Recording) -> None:
        pixels = rec.pixels[None].clone().requires_grad_()
        [expected] = torch.autograd.grad(rec.vit.module(pixels)[0, 2], pixels)
        ours = pixel_gradients(rec, Score(2), rec.pixels[None])
        torch.testing.assert_close(ours, expected)
        heat = vitviz.explain(rec, "smoothgrad", target=2, samples=1, noise=0.0)
        height, width = rec.patch_size
        for row, col in ((0, 0), (1, 3), (4, 4)):
            patch = expected[0, :, row * height :, col * width :][:, :height, :width]
            assert heat.values[row, col] == pytest.approx(float(patch.abs().sum()), rel=1e-4)

    def test_noise_is_averaged_before_signs_are_dropped(self, together: Tensor) -> None:
        """Of a quadratic score the gradient is linear, and its mean over noise is that without; a
        mean of absolute values would be larger."""
        rec = played(torch.zeros(PATCHES), together)
        object.__setattr__(rec, "pixels", rec.pixels * torch.tensor([0.0, 1, 0]).repeat(3, 2, 1))
        calm = vitviz.explain(rec, "smoothgrad", target=0, samples=1, noise=0.0).values
        noisy = vitviz.explain(rec, "smoothgrad", target=0, samples=200, noise=0.5).values
        np.testing.assert_allclose(noisy, calm, atol=0.25)
        one = vitviz.explain(rec, "smoothgrad", target=0, samples=1, noise=0.5).values
        assert np.abs(one - calm).max() > 0.25


class TestSums:
    def test_pixels_are_summed_where_their_patch_lies(self, rec: Recording) -> None:
        height, width = rec.patch_size
        pixels = torch.zeros(3, *rec.pixels.shape[1:])
        pixels[:, 2 * height, 3 * width - 1] = torch.tensor([1.0, 2.0, 4.0])
        expected = torch.zeros(rec.grid)
        expected[2, 2] = 7
        assert torch.equal(patch_sums(rec, pixels).view(rec.grid), expected)

    @pytest.mark.parametrize(
        ("size", "expected"), [((5, 7), [[4, 4, 4], [4, 4, 4]]), ((3, 5), [[4, 4, 2], [2, 2, 1]])]
    )
    def test_pixels_beyond_the_patches_count_nowhere(self, size, expected, monkeypatch) -> None:
        """Of 2 × 3 patches of 2 × 2 pixels; an input smaller than these is padded."""
        rec = played(ALONE)
        monkeypatch.setattr(Recording, "patch_size", (2, 2))
        assert patch_sums(rec, torch.ones(1, *size)).view(GRID).tolist() == expected


def test_errors_go_where_the_values_go(rec: Recording, tmp_path: Path) -> None:
    heat = vitviz.explain(rec, "rise", target=1, pairs=5)
    assert heat.errors is not None
    assert heat.errors.shape == heat.values.shape == rec.grid
    heat.save(tmp_path / "rise.npz")
    with np.load(tmp_path / "rise.npz") as saved:
        np.testing.assert_array_equal(saved["errors"], heat.errors)
    total = heat.values.sum()
    np.testing.assert_allclose(heat.shares.errors, heat.errors / total)
    finer = heat.on_grid((10, 5)).errors
    np.testing.assert_array_equal(finer[::2], heat.errors)
    assert vitviz.explain(rec, "random").errors is None
