"""What is private in torch: the body of its multi-head attention. Checked with torch 2.14.

`F.multi_head_attention_forward`, which `nn.MultiheadAttention` calls, hands itself to a
TorchFunctionMode as a whole, and the mode would not see the primitive that it calls. Its first
lines ask `has_torch_function` whether to do so. Here the same code runs with a
`has_torch_function` that says no, so that the mode sees what it does.
"""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

import torch.nn.functional as F

__all__ = ["multi_head_attention", "num_heads"]

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
