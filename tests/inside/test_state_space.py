"""A state carried from token to token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vitviz
from vitviz.inside.state_space import by_kernel, reach, scanned


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.floats(0, 0.99))
def test_the_recurrence_is_a_convolution(inputs: list[float], decay: float) -> None:
    x = torch.tensor(inputs, dtype=torch.float64)
    torch.testing.assert_close(scanned(x, decay), by_kernel(x, decay), atol=1e-9, rtol=1e-9)


def test_three_tokens_by_hand() -> None:
    assert scanned(torch.tensor([8.0, 0.0, 4.0]), 0.5).tolist() == [4.0, 2.0, 3.0]


def test_what_is_left_when_a_patch_is_reached() -> None:
    forward = reach((3, 4), (1, 1), 0.5, "one")
    assert forward[1].tolist() == [0.5, 1.0, 0.0, 0.0]
    assert forward[0].tolist() == [0.5**5, 0.5**4, 0.5**3, 0.5**2]
    assert not forward[2].any()
    both = reach((3, 4), (1, 1), 0.5, "two")
    assert both[1].tolist() == [0.5, 1.0, 0.5, 0.25]
    four = reach((3, 4), (1, 1), 0.5, "four")
    assert four[0, 1] == four[2, 1] == four[1, 0] == 0.5
    assert four[0, 0] == 0.5**4  # a column of three is shorter than a row of four


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_that_is_none(decay: float) -> None:
    with pytest.raises(vitviz.VitvizError, match="from 0"):
        scanned(torch.zeros(2), decay)
    with pytest.raises(vitviz.VitvizError, match="no patch"):
        reach((2, 2), (2, 0), 0.5, "one")
