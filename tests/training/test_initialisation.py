"""The first weights, against their variance and the formula of what they do."""

from __future__ import annotations

import math

import pytest
import torch

from vitviz.training.initialisation import (
    KINDS,
    activation_sizes,
    expected_sizes,
    initial_weight,
)


@pytest.mark.parametrize(
    ("kind", "spread"),
    [
        ("he", math.sqrt(2 / 300)),
        ("xavier", math.sqrt(1 / 300)),
        ("truncated", 0.02),
        ("large", 0.1),
    ],
)
def test_each_kind_has_its_spread(kind: str, spread: float) -> None:
    weight = initial_weight(kind, 300, torch.Generator().manual_seed(0))
    assert float(weight.std()) == pytest.approx(spread, rel=0.02)
    assert abs(float(weight.mean())) < spread / 50


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_follow_the_formula(kind: str, residual: bool) -> None:
    found = activation_sizes(kind, 6, 512, residual=residual)
    assert found == pytest.approx(expected_sizes(kind, 6, 512, residual=residual), rel=0.2)


def test_the_formula_by_hand() -> None:
    assert expected_sizes("he", 3, 384, residual=False) == pytest.approx([1, 1, 1, 1])
    assert expected_sizes("xavier", 4, 384, residual=False)[4] == pytest.approx(1 / 4)
    assert expected_sizes("he", 3, 384, residual=True)[3] == pytest.approx(2)
