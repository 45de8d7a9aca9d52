"""Why a model's attention is not shown, where it can be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitviz.errors import ModelError
from vitviz.models.core import channels_of
from vitviz.models.outputs import rows_sum_to_one
from vitviz.models.vit import Vit
from vitviz.recording.layout import Layout
from vitviz.recording.noise import noise
from vitviz.recording.recorder import MATMUL, SIGMOID, Recorder

__all__ = ["cause_of"]


def cause_of(
    vit: Vit, recorder: Recorder, layouts: Sequence[object], size: tuple[int, int]
) -> ModelError | None:
    """The error that names the cause; None where none of those known here is found.

    Args:
        vit: a model none of whose attention is shown.
        recorder: what was seen of it.
        layouts: where its calls lie, each a Layout where that is known.
        size: (height, width) of its input, which it is run on once more.
    """
    if any(isinstance(part, torch.jit.ScriptModule) for part in vit.module.modules()):
        return ModelError(
            "torchscript",
            "{model} is TorchScript, in which nothing can be watched; give the original module "
            "with these weights.",
            model=vit.name,
        )
    names = [call.module for call in recorder.calls]
    for name, layout in zip(names, layouts, strict=False):
        if isinstance(layout, Layout) and names.count(name) > 1 and recorder.runs[name] > 1:
            return ModelError(
                "module_used_twice",
                "In {model} one module, {part}, attends in several layers, so their maps cannot be "
                "told apart; give each layer a module of its own.",
                model=vit.name,
                part=name,
            )
    return _cause_in_products(vit, recorder, size)


def _cause_in_products(vit: Vit, recorder: Recorder, size: tuple[int, int]) -> ModelError | None:
    """The same for what the model multiplies, which is watched once more."""
    with torch.no_grad(), _Products() as seen:
        vit.run(noise(1, channels_of(vit.module), *size).to(vit.anatomy.float_type))
    if seen.by_sigmoid:
        return ModelError(
            "sigmoid_attention",
            "{model} weighs its values by a sigmoid instead of a softmax, so that a row of its "
            "attention does not share out 1 and is no map; choose a model whose attention is a "
            "softmax.",
            model=vit.name,
        )
    if seen.by_einsum:
        return ModelError(
            "own_einsum",
            "{model} multiplies attention and values by torch.einsum, which is not watched; write "
            "it as attention @ values.",
            model=vit.name,
        )
    if seen.by_matmul and not recorder.calls and not recorder.altered:
        return ModelError(
            "own_softmax",
            "{model} computes a softmax of its own, which is not watched; use torch.softmax or "
            "scaled_dot_product_attention.",
            model=vit.name,
        )
    return None


class _Products(TorchFunctionMode):
    """Sees whether something that could be a map of attention is multiplied, and by what."""

    def __init__(self) -> None:
        super().__init__()
        self.by_einsum = self.by_matmul = self.by_sigmoid = False
        self._sigmoid: torch.Size | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.einsum:
            self.by_einsum |= any(map(_is_map, _tensors(args)))
        elif func in MATMUL:
            self.by_matmul |= _is_map(args[0])
        if func is torch.einsum or func in MATMUL:
            self.by_sigmoid |= any(self._is_gated(x) for x in _tensors(args))
        result = func(*args, **(kwargs or {}))
        if func in SIGMOID and result.ndim > 2:
            self._sigmoid = result.shape
        return result

    def _is_gated(self, x: Tensor) -> bool:
        """Whether it has the shape of the last sigmoid, a map of tokens, and values as of one."""
        square = x.ndim > 2 and x.shape[-1] == x.shape[-2] > 1
        return square and x.shape == self._sigmoid and bool(((x >= 0) & (x <= 1)).all())


def _tensors(args: Sequence[Any]) -> Iterator[Tensor]:
    """What is given to einsum, one by one or as a list."""
    for arg in args:
        if isinstance(arg, Tensor):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from _tensors(arg)


def _is_map(x: Tensor) -> bool:
    """Whether each of several rows shares out 1."""
    several = x.ndim > 2 and min(x.shape[-2:]) > 1
    return several and x.is_floating_point() and rows_sum_to_one(x)
