"""A softmax in blocks against the whole one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vitviz
from vitviz.inside.blocked_softmax import blocked_attention, memory_traffic


@given(st.lists(st.floats(-60, 60), min_size=1, max_size=30), st.integers(1, 40), st.integers(0, 5))
def test_blocks_give_the_plain_result(scores: list[float], block: int, seed: int) -> None:
    z = torch.tensor(scores, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(z), 3, generator=generator, dtype=torch.float64)
    steps = blocked_attention(z, values, block)
    assert len(steps) == math.ceil(len(z) / block)
    for step in steps:
        seen = z[: step.keys]
        torch.testing.assert_close(step.output, seen.softmax(0) @ values[: step.keys])
        assert step.largest == float(seen.max())
        assert step.total == pytest.approx(float((seen - seen.max()).exp().sum()))


def test_a_larger_score_shrinks_what_was_summed() -> None:
    z, values = torch.tensor([0.0, math.log(4.0)]), torch.tensor([[1.0], [0.0]])
    first, second = blocked_attention(z, values, 1)
    assert (first.total, float(first.output)) == (1.0, 1.0)
    assert second.shrunk == pytest.approx(1 / 4)
    assert second.total == pytest.approx(1 / 4 + 1)
    assert float(second.output) == pytest.approx(1 / 5)


def test_bytes_counted_one_move_at_a_time() -> None:
    """Two tokens of width 3: Q, K, V read and O written are 4 · 6 numbers, scores and weights
    written and read 4 · 4. A token at a time: Q and O 12, K and V 12 for each of two queries."""
    assert memory_traffic(2, 3, 1).plain == 4 * (24 + 16)
    assert memory_traffic(2, 3, 1).blocked == 4 * (12 + 24)
    assert memory_traffic(2, 3, 2).blocked == 4 * (12 + 12)


def test_a_block_without_tokens_is_refused() -> None:
    with pytest.raises(vitviz.VitvizError, match="at least one"):
        blocked_attention(torch.zeros(2), torch.zeros(2, 1), 0)
    with pytest.raises(vitviz.VitvizError, match="at least one"):
        memory_traffic(2, 3, 0)
