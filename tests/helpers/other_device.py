"""A device that this machine does not have, for tests of what lies where.

Its tensors are ordinary ones of which is known that they lie there. As on a real one, an operation
on tensors of both devices fails, unless one of them is a single number, and NumPy reads none there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

OTHER = torch.device("cuda", 0)
HERE = torch.device("cpu")

_there: dict[int, Any] = {}
"""The storages that lie there, each held so that no other gets its number."""


def lies_there(tensor: Tensor) -> bool:
    return tensor.untyped_storage()._cdata in _there


def _put_there(tensor: Tensor) -> None:
    storage = tensor.untyped_storage()
    _there[storage._cdata] = storage


class _Move(torch.autograd.Function):
    """A copy on the other side; its gradient comes back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, there: bool) -> Tensor:
        ctx.came_from = lies_there(tensor)
        return _copy(tensor, there)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _copy(gradients[0], ctx.came_from), None


def _copy(tensor: Tensor, there: bool) -> Tensor:
    with torch._C._DisableTorchDispatch():  # type: ignore[attr-defined]
        made = tensor.detach().clone()
    if there:
        _put_there(made)
    return made


class _Places(TorchDispatchMode):
    """What is computed there lies there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [x for x in tree_leaves((args, kwargs or {})) if isinstance(x, Tensor)]
        there = [lies_there(x) for x in given if x.ndim > 0]
        if func is torch.ops.aten.copy_.default:  # from one to the other, which stays where it is
            return func(*args, **(kwargs or {}))
        if any(there) and not all(there):
            raise RuntimeError(f"{func.name()}: tensors on both devices")
        result = func(*args, **(kwargs or {}))
        if any(map(lies_there, given)):
            for made in tree_leaves(result):
                if isinstance(made, Tensor):
                    _put_there(made)
        return result


class _Names(TorchFunctionMode):
    """The device's name, wherever one is asked for or given."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__:  # made anew whenever it is asked for
            return OTHER if lies_there(args[0]) else func(*args)
        if func is Tensor.numpy and lies_there(args[0]):
            raise TypeError("can't convert a tensor of another device to numpy")
        if func is Tensor.cpu:
            return _Move.apply(args[0], False) if lies_there(args[0]) else args[0]
        if func is Tensor.to:
            return _moved(*args, **kwargs)
        if isinstance(kwargs.get("device"), (str, torch.device)):
            there = torch.device(kwargs["device"]).type == OTHER.type
            made = func(*args, **kwargs | {"device": "cpu"})
            if there:
                _put_there(made)
            return made
        return func(*args, **kwargs)


def _moved(tensor: Tensor, *given: Any, **named: Any) -> Tensor:
    """As Tensor.to: a device, a type, or both."""
    dtype = next((x for x in (*given, named.get("dtype")) if isinstance(x, torch.dtype)), None)
    device = next((x for x in given if isinstance(x, (str, torch.device))), named.get("device"))
    if dtype is not None:
        tensor = tensor.to(dtype, copy=named.get("copy", False))
    there = lies_there(tensor) if device is None else torch.device(device).type == OTHER.type
    return tensor if there == lies_there(tensor) else _Move.apply(tensor, there)


@contextmanager
def other_device() -> Iterator[torch.device]:
    """This machine has the other device."""
    with _Places(), _Names():
        yield OTHER
    _there.clear()
