"""What Vitviz relies on inside torch: each fails with one sentence when a newer torch differs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from vitviz.models import torch_private


class Seen(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.functions: list[object] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.functions.append(func)
        if func is F.multi_head_attention_forward:
            with self:
                return torch_private.multi_head_attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("weights", [True, False])
def test_the_body_of_multi_head_attention_is_seen_and_the_same(weights: bool) -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(1, 3, 8)
    expected, _ = layer(x, x, x, need_weights=weights)
    with Seen() as seen:
        found, _ = layer(x, x, x, need_weights=weights)
    primitive = torch.baddbmm if weights else F.scaled_dot_product_attention
    assert torch.equal(found, expected), "torch's multi-head attention has another body now"
    inside = seen.functions[1:]
    assert primitive in inside or torch.bmm in inside, (
        "torch's multi-head attention no longer shows its primitive without has_torch_function"
    )


def test_the_number_of_heads_is_found_by_place_and_by_name() -> None:
    args = [torch.zeros(1)] * 3
    assert torch_private.num_heads((*args, 8, 2), {}) == 2, "num_heads has another place in torch"


def test_changes_in_place_are_counted() -> None:
    tensor = torch.zeros(2)
    before = torch_private.changes_in_place(tensor)
    tensor.add_(1)
    assert torch_private.changes_in_place(tensor) > before, "Tensor._version counts otherwise now"
    with torch.inference_mode():
        assert torch_private.changes_in_place(torch.zeros(2)) == 0
