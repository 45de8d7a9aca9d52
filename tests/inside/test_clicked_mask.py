"""A mask from clicks, against scikit-learn's ridge regression."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import Ridge

import vitviz
from vitviz.inside.clicked_mask import PENALTY, clicked_scores


def test_it_is_a_ridge_regression_on_the_clicked_patches() -> None:
    features = torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(0))
    thing, background = [(0, 0), (1, 3)], [(3, 4), (2, 2), (0, 4)]
    vectors = torch.nn.functional.normalize(features.double(), dim=-1).numpy()
    vectors = vectors - vectors.mean(axis=(0, 1))
    ridge = Ridge(alpha=PENALTY, fit_intercept=False)
    clicked = [vectors[patch] for patch in (*thing, *background)]
    ridge.fit(clicked, [1, 1, -1, -1, -1])
    expected = ridge.predict(vectors.reshape(-1, 7)).reshape(4, 5)
    found = clicked_scores(features, thing, background)
    torch.testing.assert_close(found, torch.from_numpy(expected).float(), atol=1e-6, rtol=1e-5)


def test_what_points_the_same_way_is_on_the_same_side() -> None:
    features = torch.tensor([0.0, 1.0]).repeat(3, 4, 1)
    features[1:, 2:] = torch.tensor([5.0, 0.0])
    found = clicked_scores(features, [(1, 2)], [(0, 0)]) > 0
    assert found[1:, 2:].all()
    assert int(found.sum()) == 4


def test_both_kinds_are_needed() -> None:
    features = torch.randn(2, 2, 3)
    for thing, background in (([], [(0, 0)]), ([(0, 0)], [])):
        with pytest.raises(vitviz.VitvizError, match="one of the background"):
            clicked_scores(features, thing, background)
    with pytest.raises(vitviz.VitvizError, match="no patch"):
        clicked_scores(features, [(2, 0)], [(0, 0)])
