"""Linear attention: with and without its map."""

from __future__ import annotations

import math

import pytest
import torch

from vitviz.inside.linear_attention import feature_map, linear_output, linear_weights


def test_both_orders_of_the_product_give_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(9, 4, generator=generator).double() for _ in range(3))
    weights = linear_weights(queries, keys)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(9).double())
    torch.testing.assert_close(weights @ values, linear_output(queries, keys, values))


def test_two_tokens_by_hand() -> None:
    """φ(q) = (2, e^-1); φ(k) are (1, 1) and (3, 1)."""
    queries, keys = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    assert feature_map(queries)[0].tolist() == pytest.approx([2.0, math.exp(-1)])
    first, second = 2 + math.exp(-1), 6 + math.exp(-1)
    expected = [first / (first + second), second / (first + second)]
    assert linear_weights(queries, keys)[0].tolist() == pytest.approx(expected)
