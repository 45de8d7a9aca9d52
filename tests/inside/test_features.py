"""Patch features against numpy, scikit-learn and what must hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

import vitviz
from vitviz.errors import ModelError, VitvizError
from vitviz.inside.features import (
    clusters,
    contrast,
    foreground,
    patch_features,
    principal_components,
    similarity,
)

PHOTO = vitviz.samples()[0].path


@pytest.fixture(scope="module")
def rec() -> vitviz.Recording:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=96, num_classes=5).eval()
    return vitviz.record(vitviz.from_module(module), vitviz.load_image(PHOTO))


def test_features_are_the_normed_tokens_in_place(rec: vitviz.Recording) -> None:
    out: list[torch.Tensor] = []
    hook = rec.vit.module.norm.register_forward_hook(lambda *called: out.append(called[-1]))
    with torch.no_grad():
        rec.vit.module(rec.pixels[None])
    hook.remove()
    found = patch_features(rec)
    torch.testing.assert_close(found[2, 3], out[0][0, 1 + 2 * rec.grid[1] + 3])


def test_components_are_scikit_learns(rec: vitviz.Recording) -> None:
    features = patch_features(rec)
    positions, shares = principal_components(features)
    other = PCA(3, svd_solver="full")
    expected = other.fit_transform(features.flatten(0, 1).numpy())
    found = positions.flatten(0, 1).numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3)
    np.testing.assert_allclose(shares.numpy(), other.explained_variance_ratio_, rtol=1e-3)


def test_components_keep_their_sign_and_ignore_a_shift() -> None:
    features = torch.randn(5, 6, 8, generator=torch.Generator().manual_seed(0))
    first, _ = principal_components(features)
    shifted, _ = principal_components(features + 3)
    torch.testing.assert_close(first, shifted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(first.mean(dim=(0, 1)), torch.zeros(3), atol=1e-5, rtol=0)


@given(st.sampled_from([1.0, -1.0]), st.integers(1, 3), st.integers(1, 3))
def test_the_foreground_is_what_touches_the_border_less(sign: float, top: int, left: int) -> None:
    thing = torch.zeros(8, 8)
    thing[top : top + 3, left : left + 3] = 1
    assert torch.equal(foreground(sign * thing), thing.bool())


def test_separate_groups_are_found() -> None:
    directions = torch.eye(3, 16)
    expected = np.arange(36).reshape(6, 6) // 12
    noise = torch.randn(6, 6, 16, generator=torch.Generator().manual_seed(0)) / 50
    features = 5 * directions[torch.from_numpy(expected)] + noise
    assert (clusters(features, 3) == expected).all()
    assert (clusters(2 * features, 3) == expected).all()  # by direction, not by length
    with pytest.raises(VitvizError, match="36 patches"):
        clusters(features, 37)


def test_every_patch_matches_itself(rec: vitviz.Recording) -> None:
    features = patch_features(rec)
    for row, col in np.ndindex(*rec.grid):
        found = similarity(features[row, col], features)
        assert found.shape == rec.grid
        assert float(found[row, col]) == pytest.approx(1, abs=1e-5)
        assert found.max() <= 1 + 1e-5


def test_contrast_by_hand() -> None:
    images, texts = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    expected = np.exp([1 / 0.5, 0]) / np.exp([1 / 0.5, 0]).sum()
    np.testing.assert_allclose(contrast(images, texts, 0.5)[0].numpy(), expected, rtol=1e-5)


def test_a_model_without_tokens_is_refused(rec: vitviz.Recording) -> None:
    class Pooled(torch.nn.Module):
        def forward_features(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean(dim=(2, 3))

    vit = replace(rec.vit, module=Pooled())
    with pytest.raises(ModelError, match="does not give its tokens"):
        patch_features(replace(rec, vit=vit))
