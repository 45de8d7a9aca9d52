"""Watch one forward pass and keep what every attention call was given.

The attention primitive itself is intercepted, so fused kernels stay on and rotary embeddings,
relative position biases and query-key norms are already applied to what is kept. Forward hooks
say which module is running. All state lives in the `Recorder` of one call and is bound to its
thread: other threads may run the same model at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

__all__ = ["AttentionCall", "Recorder", "SoftmaxCall"]

SOFTMAX = (Tensor.softmax, torch.softmax, F.softmax)
MATMUL = (Tensor.__matmul__, Tensor.matmul, torch.matmul, Tensor.bmm, torch.bmm)


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """The arguments of one scaled dot product attention; the map is derived from them on demand.

    Shapes: query (batch, heads, queries, dim), key and value (batch, key heads, keys, dim), mask
    broadcastable to (batch, heads, queries, keys), boolean (True attends) or added to the scores.
    """

    module: str
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scale: float
    is_causal: bool

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, heads, queries, keys) of the attention map."""
        batch, heads, queries, _ = self.query.shape
        return batch, heads, queries, self.key.shape[-2]

    def rows(self, rows: slice) -> Tensor:
        """Attention after the softmax for these queries, float32 (batch, heads, rows, keys).

        A row whose keys are all masked is 0, as in the primitive.
        """
        query = self.query[:, :, rows].float()
        key = self.key.float()
        if key.shape[1] != query.shape[1]:  # grouped queries share a key head
            key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        with torch.autocast(query.device.type, enabled=False):
            scores = (query * self.scale) @ key.transpose(-2, -1)
        if self.mask is not None:
            scores = _apply_mask(scores, _take_rows(self.mask, rows))
        if self.is_causal:
            _, _, queries, keys = self.shape
            lower = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).tril()
            scores = _apply_mask(scores, lower[rows])
        weights = scores.softmax(dim=-1)
        if self.mask is not None:
            nowhere = scores.amax(dim=-1, keepdim=True) == float("-inf")
            weights = weights.masked_fill(nowhere, 0.0)  # instead of NaN
        return weights


@dataclass(frozen=True, eq=False)
class SoftmaxCall:
    """An attention map the model computed itself, (batch, heads, queries, keys), and its values."""

    module: str
    weights: Tensor
    value: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, heads, queries, keys) of the attention map."""
        return tuple(self.weights.shape)

    def rows(self, rows: slice) -> Tensor:
        """Attention after the softmax for these queries, float32 (batch, heads, rows, keys)."""
        return self.weights[:, :, rows].float()


def _take_rows(mask: Tensor, rows: slice) -> Tensor:
    """The mask of these query tokens; a mask of one row serves every query."""
    return mask if mask.ndim < 2 or mask.shape[-2] == 1 else mask[..., rows, :]


def _apply_mask(scores: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, float("-inf"))
    return scores + mask.float()


class Recorder(TorchFunctionMode):
    """Context manager that watches `module` run inside it.

    Attention is either `scaled_dot_product_attention` or a softmax over the last dimension whose
    result is the left operand of the next matrix product. Nothing the model computes is changed but
    by `gates`, and what is kept is part of the autograd graph wherever one is being built.

    Args:
        module: the model.
        watch: names of submodules whose inputs and outputs are kept.
        gates: by the number of an attention call, what its result (batch, heads, queries, dim) is
            multiplied with; a head whose gate is 0 is switched off.

    Attributes:
        calls: the attention calls, in order.
        attended: what each of them returned, attention @ values, by its module's name, where an
            autograd graph is being built; otherwise keeping it would only take memory.
        altered: shapes of softmax results that were not multiplied with values as they were.
        inputs, outputs: first argument and result of the submodules named in `watch`, by name.
    """

    def __init__(
        self,
        module: nn.Module,
        watch: Collection[str] = (),
        gates: Mapping[int, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.calls: list[AttentionCall | SoftmaxCall] = []
        self.attended: dict[str, Tensor] = {}
        self.altered: list[tuple[int, ...]] = []
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self._watch = watch
        self._gates = gates or {}
        self._module = module
        self._running: list[str] = []
        self._handles: list[RemovableHandle] = []
        self._softmax: Tensor | None = None
        self._thread = threading.get_ident()

    def __enter__(self) -> Recorder:
        for name, module in self._module.named_modules():
            if next(module.children(), None) is not None:
                self._handles.append(module.register_forward_pre_hook(self._entering(name)))
                self._handles.append(module.register_forward_hook(self._leave))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._forget_softmax()
        for handle in self._handles:
            handle.remove()

    def _entering(self, name: str) -> Callable[..., None]:
        def enter(_: nn.Module, args: tuple[Any, ...]) -> None:
            if threading.get_ident() == self._thread:
                self._running.append(name)
                if name in self._watch:
                    self.inputs[name] = next(iter(args), None)

        return enter

    def _leave(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        del args
        if threading.get_ident() == self._thread:
            name = self._running.pop()
            if name in self._watch:
                self.outputs[name] = output

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        calls = len(self.calls)
        if func is F.scaled_dot_product_attention:
            self._keep_attention(*args, **kwargs)
        elif func in MATMUL and self._softmax is not None:
            weights = self._softmax
            if args[0] is weights and weights.ndim == 4:
                self.calls.append(SoftmaxCall(self._running[-1], weights, args[1]))
                self._softmax = None
        result = func(*args, **kwargs)
        if len(self.calls) > calls:
            if calls in self._gates:
                result = result * self._gates[calls]
            if result.requires_grad:
                self.attended[self.calls[-1].module] = result
        if func in SOFTMAX:
            self._forget_softmax()
            self._softmax = result
        return result

    def _forget_softmax(self) -> None:
        if self._softmax is not None:
            self.altered.append(tuple(self._softmax.shape))
        self._softmax = None

    def _keep_attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        del dropout_p, enable_gqa  # a model in eval mode drops nothing; groups show in the shapes
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        name = self._running[-1]
        self.calls.append(AttentionCall(name, query, key, value, attn_mask, scale, is_causal))
