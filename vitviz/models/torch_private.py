"""What is private in torch. Checked with torch 2.14.

The body of its multi-head attention: `F.multi_head_attention_forward`, which
`nn.MultiheadAttention` calls, hands itself to a TorchFunctionMode as a whole, and the mode would
not see the primitive that it calls. Its first lines ask `has_torch_function` whether to do so. Here
the same code runs with a `has_torch_function` that says no, so that the mode sees what it does.

The count of a tensor's changes in place, `Tensor._version`.

`__tensor_flatten__`, by which a subclass of Tensor, such as a weight that torchao has quantised,
names the tensors that it is made of.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import torch.nn.functional as F
from torch import Tensor

__all__ = ["changes_in_place", "multi_head_attention", "num_heads", "parts_of"]

multi_head_attention: Any = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**vars(F), "has_torch_function": lambda _: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)
"""torch's own function, visible to a mode inside."""

ARGUMENTS = inspect.signature(F.multi_head_attention_forward)


def num_heads(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """The number of heads in a call of it."""
    return int(ARGUMENTS.bind_partial(*args, **kwargs).arguments["num_heads"])


def changes_in_place(tensor: Tensor) -> int:
    """How often a tensor was changed in place; 0 for one made in inference mode, which has no
    count."""
    return 0 if tensor.is_inference() else tensor._version


def parts_of(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The ordinary tensors that a tensor is made of, by their names: mostly itself."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield name, tensor
        return
    parts, _ = tensor.__tensor_flatten__()
    for part in parts:
        yield from parts_of(f"{name}.{part}", getattr(tensor, part))
