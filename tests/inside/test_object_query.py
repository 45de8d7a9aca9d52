"""What a query looks at, and its box."""

from __future__ import annotations

import math

import pytest
import torch

from vitviz.inside.object_query import looked_at, looks_of


def test_a_query_looks_by_the_softmax_of_its_products() -> None:
    keys = torch.tensor([[[2.0, 0.0], [0.0, 0.0]], [[0.0, 9.0], [2.0, 0.0]]])
    found = looks_of(torch.tensor([math.sqrt(2) * math.log(3), 0.0]), keys)
    assert found.flatten().tolist() == pytest.approx([9 / 20, 1 / 20, 1 / 20, 9 / 20])


@pytest.mark.parametrize("corners", [(1, 2, 4, 3), (0, 0, 6, 8), (5, 7, 6, 8), (2, 1, 5, 6)])
def test_equal_weights_in_a_box_give_that_box(corners: tuple[int, int, int, int]) -> None:
    top, left, bottom, right = corners
    weights = torch.zeros(6, 8)
    weights[top:bottom, left:right] = 1 / ((bottom - top) * (right - left))
    assert looked_at(weights) == pytest.approx(corners, abs=1e-5)
