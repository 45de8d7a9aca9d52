"""Weights that are no plain tensors but made of several, as torchao quantises them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import make_photo, random_module
from torch import Tensor, nn
from torch.utils._pytree import tree_map

import vitviz
from vitviz.models.weights import as_floats, cached_weights_hash, weights_hash


class Int8(Tensor):
    """Whole numbers times a scale for each row; only a matrix product takes it."""

    data8: Tensor
    scale: Tensor

    @staticmethod
    def __new__(cls, data8: Tensor, scale: Tensor) -> Any:
        made: Any = Tensor._make_wrapper_subclass(cls, data8.shape, dtype=scale.dtype)
        made.data8, made.scale = data8, scale
        return made

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["data8", "scale"], None

    @staticmethod
    def __tensor_unflatten__(parts: Any, _: Any, size: Any, stride: Any) -> Int8:
        del size, stride
        return Int8(**parts)

    def dequantize(self) -> Tensor:
        return self.data8 * self.scale

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.linear:
            args = tree_map(lambda x: x.dequantize() if isinstance(x, Int8) else x, args)
            return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return Int8(args[0].data8, args[0].scale)
        raise NotImplementedError(f"Int8 does not do {func}")


def quantised(weight: Tensor) -> Int8:
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    return Int8((weight / scale).round().to(torch.int8), scale)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    made = random_module("vit")
    for part in made.modules():
        if isinstance(part, nn.Linear):
            weight = quantised(part.weight.detach())
            part.weight = nn.Parameter(weight, requires_grad=False)
    return made


@pytest.fixture(scope="module")
def same() -> nn.Module:
    """The same numbers as plain tensors."""
    made = random_module("vit")
    for part in made.modules():
        if isinstance(part, nn.Linear):
            part.weight = nn.Parameter(quantised(part.weight.detach()).dequantize())
    return made


def test_every_method_that_applies_gives_what_plain_weights_give(
    module: nn.Module, same: nn.Module
) -> None:
    photo = make_photo()
    rec, plain = (vitviz.record(vitviz.from_module(m), photo) for m in (module, same))
    for method in ("attention", "rollout", "value_rollout", "transition", "random"):
        found, expected = (vitviz.explain(r, method).values for r in (rec, plain))
        torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected))


def test_every_number_in_them_counts_for_the_hash(module: nn.Module) -> None:
    before = weights_hash(module)
    assert cached_weights_hash(module) == before
    weight: Any = next(p for p in module.parameters() if hasattr(p, "data8"))
    weight.scale[0] *= 2
    assert cached_weights_hash(module) != before
    weight.scale[0] /= 2
    assert cached_weights_hash(module) == before


def test_as_floats_are_ordinary_numbers() -> None:
    weight = torch.tensor([[127.0, -63.5], [1.0, 0.5]])
    found = as_floats(quantised(weight))
    assert type(found) is Tensor
    torch.testing.assert_close(found, torch.tensor([[127.0, -64.0], [1.0, 64 / 127]]))
    assert as_floats(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32
