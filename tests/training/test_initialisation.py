"""The first weights, against their variance and the formula of what they do."""

from __future__ import annotations

import math

import pytest
import torch

from vitviz.training.initialisation import (
    KINDS,
    activation_sizes,
    initial_weight,
)

VARIANCES = {"he": 2 / 384, "xavier": 1 / 384, "truncated": 0.02**2, "large": 0.1**2}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_spread(kind: str) -> None:
    weight = initial_weight(kind, 384, torch.Generator().manual_seed(0))
    spread = math.sqrt(VARIANCES[kind])
    assert float(weight.std()) == pytest.approx(spread, rel=0.02)
    assert abs(float(weight.mean())) < spread / 50


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_follow_the_formula(kind: str, residual: bool) -> None:
    """√(f^l) with f = n σ² / 2, or √(1 + l f) with norm and residual."""
    factor = 384 * VARIANCES[kind] / 2
    expected = [math.sqrt(1 + i * factor if residual else factor**i) for i in range(7)]
    found = activation_sizes(kind, 6, 384, residual=residual)
    assert found == pytest.approx(expected, rel=0.2)
