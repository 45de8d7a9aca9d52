"""Rotary positions against complex numbers, and their one property."""

from __future__ import annotations

import math

import pytest
import torch

import vitviz
from vitviz.inside.rotary import rotary_score, rotated, rotation_speeds


def test_pairs_are_complex_numbers_that_are_turned() -> None:
    vector = torch.tensor([1.0, 2.0, -3.0, 0.5, 0.0, 1.0])
    found = rotated(vector, torch.tensor(7.0)).reshape(3, 2)
    for pair, (x, y) in enumerate(vector.reshape(3, 2).tolist()):
        angle = 7 * 10_000 ** (-2 * pair / 6)
        number = complex(x, y) * complex(math.cos(angle), math.sin(angle))
        assert found[pair].tolist() == pytest.approx([number.real, number.imag])
    assert float(found.norm()) == pytest.approx(float(vector.norm()))


def test_the_score_depends_on_the_distance_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 64, generator=generator)
    scores = [rotary_score(query, key, m, m + 4) for m in (0, 3, 11, 500)]
    assert scores == pytest.approx([scores[0]] * 4)
    assert rotary_score(query, key, 4, 0) != pytest.approx(scores[0])
    assert rotary_score(query, key, 9, 9) == pytest.approx(float(query @ key) / 8)


def test_the_quickest_pair_comes_first() -> None:
    assert rotation_speeds(4).tolist() == pytest.approx([1.0, 0.01])
    with pytest.raises(vitviz.VitvizError, match="pairs"):
        rotation_speeds(3)
