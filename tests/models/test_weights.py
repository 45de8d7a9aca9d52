"""Hashes of weights: the same for the same bits, another after any change."""

from __future__ import annotations

import copy

import pytest
import torch
from families import random_module
from torch import nn

from vitviz.models.weights import cached_weights_hash, weights_hash

TYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.bool]


def with_buffer(values: object, dtype: torch.dtype, *, persistent: bool = True) -> nn.Module:
    module = nn.Linear(2, 2, bias=False)
    nn.init.ones_(module.weight)
    module.register_buffer("table", torch.tensor(values, dtype=dtype), persistent=persistent)
    return module


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_counts_also_in_buffers(dtype: torch.dtype, persistent: bool) -> None:
    one, other = (with_buffer([1, last], dtype, persistent=persistent) for last in (0, 1))
    assert weights_hash(one) != weights_hash(other)
    assert weights_hash(one) == weights_hash(copy.deepcopy(one))


def test_the_type_and_the_shape_count() -> None:
    hashes = {
        weights_hash(with_buffer(values, dtype))
        for values in ([0, 0], [[0, 0]], 0)
        for dtype in TYPES
    }
    assert len(hashes) == 3 * len(TYPES)


def test_one_bit_of_a_model_in_bfloat16_counts() -> None:
    module = random_module("vit").bfloat16()
    before = weights_hash(module)
    weight = next(module.parameters())
    with torch.no_grad():
        weight.view(torch.int16).flatten()[3] ^= 1
    assert weights_hash(module) != before


def test_the_order_in_memory_does_not_count() -> None:
    one = nn.Linear(3, 2)
    other = copy.deepcopy(one)
    other.weight = nn.Parameter(one.weight.detach().T.contiguous().T)
    assert not other.weight.is_contiguous()
    assert weights_hash(one) == weights_hash(other)


def test_what_is_kept_follows_every_change(monkeypatch: pytest.MonkeyPatch) -> None:
    module = random_module("vit")
    computed: list[object] = []

    def counted(one: nn.Module) -> str:
        computed.append(one)
        return weights_hash(one)

    monkeypatch.setattr("vitviz.models.weights.weights_hash", counted)
    seen = [cached_weights_hash(module), cached_weights_hash(module)]
    assert seen[0] == seen[1]
    assert len(computed) == 1
    with torch.no_grad():
        module.head.bias.add_(1)
    seen.append(cached_weights_hash(module))
    module.head.weight = nn.Parameter(module.head.weight + 1)
    seen.append(cached_weights_hash(module))
    module.bfloat16()
    seen.append(cached_weights_hash(module))
    assert len(set(seen)) == 4
    assert seen[-1] == weights_hash(module)


def test_weights_made_in_inference_mode_have_a_hash() -> None:
    with torch.inference_mode():
        module = nn.Linear(2, 2)
    assert cached_weights_hash(module) == weights_hash(copy.deepcopy(module))
