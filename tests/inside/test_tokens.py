"""From photo to tokens."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

import vitviz
from vitviz.inside.tokens import (
    filter_components,
    patch_means,
    patch_pixels,
    patch_vectors,
    projection,
    share_along,
    smoothest,
    token_count,
)


@pytest.fixture(scope="module")
def rec() -> vitviz.Recording:
    sample = next(sample for sample in vitviz.samples() if sample.id == "cat")
    return vitviz.record(vitviz.load_model(), vitviz.load_image(sample.path))


def test_a_patchs_vector_is_its_pixels_times_the_matrix(rec: vitviz.Recording) -> None:
    filters, bias = projection(rec.vit)
    vectors = patch_vectors(rec)
    assert vectors.shape == (*rec.grid, len(filters))
    for patch in [(0, 0), (3, 11), (15, 15)]:
        pixels = patch_pixels(rec, patch)
        by_hand = filters.flatten(1) @ pixels.flatten() + bias
        torch.testing.assert_close(vectors[patch], by_hand, atol=1e-4, rtol=1e-4)


def test_patches_tile_the_input(rec: vitviz.Recording) -> None:
    rows, cols = rec.grid
    tiles = [torch.cat([patch_pixels(rec, (r, c)) for c in range(cols)], -1) for r in range(rows)]
    assert torch.equal(torch.cat(tiles, -2), rec.pixels)


def test_a_patchs_mean_is_that_of_its_pixels(rec: vitviz.Recording) -> None:
    found = patch_means(rec)
    assert found.shape == rec.grid
    for patch in [(0, 0), (3, 11), (15, 15)]:
        torch.testing.assert_close(found[patch], patch_pixels(rec, patch).mean())


def test_there_is_no_patch_outside_the_grid(rec: vitviz.Recording) -> None:
    with pytest.raises(vitviz.VitvizError, match="16 × 16"):
        patch_pixels(rec, (16, 0))


def test_a_stem_of_several_layers_is_no_matrix() -> None:
    module = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=3)
    module.patch_embed.proj = torch.nn.Sequential(module.patch_embed.proj, torch.nn.GELU())
    with pytest.raises(vitviz.ModelError, match="one matrix"):
        projection(vitviz.from_module(module))


@pytest.mark.parametrize(
    ("side", "patch", "tokens"), [(224, 14, 257), (224, 16, 197), (518, 14, 1370)]
)
def test_tokens_are_counted(side: int, patch: int, tokens: int) -> None:
    assert token_count(side, patch) == tokens


def test_filters_are_made_of_their_components() -> None:
    filters = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    filters[:, 0] += 2 * torch.arange(40)[:, None, None] / 40  # what differs most, in one channel
    found, shares = filter_components(filters, 48)
    values, vectors = np.linalg.eigh(np.cov(filters.flatten(1).double().numpy().T))
    expected = values[::-1][:40] / values.sum()
    np.testing.assert_allclose(shares.numpy(), expected, atol=1e-5)
    alike = np.abs((found[:5].flatten(1).numpy() * vectors.T[::-1][:5]).sum(axis=1))
    np.testing.assert_allclose(alike, 1.0, atol=1e-3)
    assert found.shape == (40, 3, 4, 4)
    assert filter_components(filters, 3)[0].shape == (3, 3, 4, 4)


def test_all_patterns_together_hold_all_of_a_photo(rec: vitviz.Recording) -> None:
    patterns = torch.linalg.qr(torch.randn(588, 588)).Q.T.unflatten(1, (3, 14, 14))
    assert share_along(rec, patterns) == pytest.approx(1.0, abs=1e-4)
    parts = share_along(rec, patterns[:200]) + share_along(rec, patterns[200:])
    assert parts == pytest.approx(1.0, abs=1e-4)
    # How much the brightness differs, by the mean of each patch.
    grey = torch.full((1, 3, 14, 14), 588**-0.5)
    tiles = rec.pixels.unflatten(1, (16, 14)).unflatten(3, (16, 14)).permute(1, 3, 0, 2, 4)
    patches = tiles.reshape(256, 588).double()
    means, every = patches.mean(dim=1), patches - patches.mean(dim=0)
    expected = 588 * (means - means.mean()).square().sum() / every.square().sum()
    assert share_along(rec, grey) == pytest.approx(float(expected), rel=1e-4)


def test_broad_patterns_come_before_fine_ones() -> None:
    plain = torch.ones(3, 8, 8)
    stripes = plain * torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1])
    chequered = plain * torch.tensor([1.0, -1] * 4) * torch.tensor([1.0, -1] * 4)[:, None]
    assert smoothest(torch.stack([chequered, 5 * stripes, plain])).tolist() == [2, 1, 0]
