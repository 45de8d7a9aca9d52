"""Watch one forward pass and keep what every attention call was given.

The attention primitive itself is intercepted, so fused kernels stay on and rotary embeddings,
relative position biases and query-key norms are already applied to what is kept. The model's hooks
say which module is running. All state lives in the `Recorder` of one call, which only its own
thread knows: other threads may run the same model at the same time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from contextvars import Token
from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitviz.models.hooks import WATCHER, Watcher, register
from vitviz.models.libraries import heads_of, holds_weights
from vitviz.models.outputs import rows_sum_to_one
from vitviz.models.torch_private import multi_head_attention, num_heads
from vitviz.recording.calls import AttentionCall, SoftmaxCall
from vitviz.recording.changes import CallChange, Change

__all__ = ["Recorder"]

SIGMOID = (Tensor.sigmoid, torch.sigmoid, F.sigmoid, torch.special.expit)
SOFTMAX = (Tensor.softmax, torch.softmax, F.softmax)
DROPOUT = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, torch.dropout)
MATMUL = (Tensor.__matmul__, Tensor.matmul, torch.matmul, Tensor.bmm, torch.bmm)
PRODUCTS = 8  # matrix products in front of a softmax among which its scores are looked for
SOURCES = 64  # tensors in front of a call among which its tokens are looked for

ModuleTensor = tuple[str, Tensor]
"""What went into or came out of a module, by the module's name."""


class Recorder(TorchFunctionMode):
    """Context manager that watches `module` run inside it.

    Attention is either `scaled_dot_product_attention` or a softmax over the last dimension whose
    result is the left operand of the next matrix product. If a module changes the result first,
    what it multiplies with values counts, as long as it is a map: rows that sum to 1. Nothing the
    model computes is changed but by `changes`, after which it is kept. What is kept is part of the
    autograd graph wherever one is being built.

    Calls lie on the processor, and so does all else where no graph is being built, whatever device
    the model runs on; changes are given and give tensors there.

    Args:
        module: the model.
        watch: names of submodules whose inputs and outputs are kept.
        trace: whether to keep what each call may have been made from, see `sources`.
        changes: what is done otherwise than the model does it, in this order.

    Attributes:
        calls: the attention calls, in order.
        attended: what each of them returned, attention @ values, by its module's name, where an
            autograd graph is being built; otherwise keeping it would only take memory.
        altered: modules and shapes of softmax results that did not become a map of attention.
        dropping: names of modules in which dropout is active: their numbers differ from run to run.
        runs: how often each submodule that holds others ran, by its name.
        sigmoid: what the last sigmoid gave.
        inputs, outputs: first argument and result of the submodules named in `watch`, by name.
        sources: for each call the last tensors of one photo that went into or came out of modules
            before it, the latest first.

    Examples:
        >>> with torch.no_grad(), Recorder(vit.module, ["blocks.0"]) as recorder:
        ...     logits = vit.module(rec.pixels[None])
        >>> len(recorder.calls), recorder.outputs["blocks.0"].shape
        (12, torch.Size([1, 257, 384]))
        >>> recorder.calls[0].rows(slice(0, 1)).shape  # where the class token looks
        torch.Size([1, 6, 1, 257])
    """

    def __init__(
        self,
        module: nn.Module,
        watch: Collection[str] = (),
        trace: bool = False,
        changes: Sequence[Change] = (),
    ) -> None:
        super().__init__()
        self.calls: list[AttentionCall | SoftmaxCall] = []
        self.attended: dict[str, Tensor] = {}
        self.altered: list[tuple[str, tuple[int, ...]]] = []
        self.dropping: list[str] = []
        self.runs: Counter[str] = Counter()
        self.sigmoid: Tensor | None = None
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.sources: list[list[ModuleTensor]] = []
        self._watch = watch
        self._trace = trace
        self._call_changes = [one for one in changes if isinstance(one, CallChange)]
        self._output_changes = [one for one in changes if not isinstance(one, CallChange)]
        self._module = module
        self._running: list[str] = []
        self._ended: list[nn.Module] = []
        self._recent: deque[ModuleTensor] = deque(maxlen=SOURCES)
        self._names: dict[int, str] = {}
        self._outer: Token[Watcher | None]
        self._softmax: Tensor | None = None  # the last result, not yet multiplied with values
        self._moved: dict[int, tuple[Tensor, Tensor]] = {}  # what lay elsewhere, and its copy here
        self._products: deque[tuple[Tensor, torch.Size]] = deque(maxlen=PRODUCTS)
        self._query: Tensor | None = None  # of the softmax
        self._folded = 0  # heads that are folded into the batch, inside multi-head attention

    def __enter__(self) -> Recorder:
        register(self._module)  # a part may have been put in since the model was loaded
        self._names = {
            id(module): name
            for name, module in self._module.named_modules()
            if self._trace or next(module.children(), None) is not None
        }
        self._outer = WATCHER.set(self)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        WATCHER.reset(self._outer)
        self._forget_softmax()

    @property
    def last(self) -> nn.Module | None:
        """The last module with weights that ran."""
        return next(filter(holds_weights, reversed(self._ended)), None)

    @property
    def batch(self) -> int | None:
        """How many photos every call was about, one item of its batch each; None if a call has
        another number of items, such as windows."""
        counts = {call.shape[0] for call in self.calls}
        return counts.pop() if len(counts) == 1 and not self.altered else None

    def of(self, photo: int) -> Recorder:
        """What was seen of one photo of a `batch`, as if it had run alone."""
        one, count = copy(self), self.batch

        def alone(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(alone, value))
            own = isinstance(value, Tensor) and value.ndim > 0 and len(value) == count
            return value[photo : photo + 1] if own else value

        one.calls = [call.of(photo) for call in self.calls]
        one.inputs = {name: alone(value) for name, value in self.inputs.items()}
        one.outputs = {name: alone(value) for name, value in self.outputs.items()}
        one.sigmoid = alone(self.sigmoid)
        return one

    def enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A module begins; `args` are all that it is given, with a name or without."""
        if (name := self._names.get(id(module))) is not None:
            self._running.append(name)
            self.runs[name] += 1
            given = next((value for value in args if value is not None), None)
            self._see(name, given)
            if name in self._watch:
                self.inputs[name] = self._here(given)

    def leave(self, module: nn.Module, output: Any) -> Any:
        """It ends; `output` is None after an error."""
        self._ended.append(module)
        if (name := self._names.get(id(module))) is not None:
            self._running.pop()
            given, output = output, self._changed(name, output)
            self._see(name, output)
            if name in self._watch:
                self.outputs[name] = self._here(output)
            return None if output is given else output
        return None

    def _here(self, value: Any) -> Any:
        """On the processor, unless a graph is being built that it may be asked about. What one
        module gives and the next is given stays one tensor."""
        if isinstance(value, tuple):
            return tuple(map(self._here, value))
        if not isinstance(value, Tensor) or torch.is_grad_enabled() or value.device.type == "cpu":
            return value
        _, moved = self._moved.setdefault(id(value), (value, value.cpu()))
        return moved

    def _changed(self, name: str, output: Any) -> Any:
        """What goes on in the place of what a module gives."""
        for one in self._output_changes:
            if one.module == name and output is not None:
                first, *rest = output if isinstance(output, tuple) else (output,)
                first = one.change(first.cpu()).to(first.device)
                output = (first, *rest) if isinstance(output, tuple) else first
        return output

    def _see(self, name: str, tensor: Any) -> None:
        if (
            self._trace
            and isinstance(tensor, Tensor)
            and tensor.ndim in (3, 4)
            and len(tensor) == 1
        ):
            self._recent.append((name, tensor))

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if WATCHER.get() is not self:  # a recording inside this one
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return self._multi_head(args, kwargs)
        calls = len(self.calls)
        if func is F.scaled_dot_product_attention:
            self._keep_attention(*args, **kwargs)
        elif func in MATMUL:
            self._keep_product(*args[:2])
        elif func in DROPOUT:
            self._see_dropout(dict(zip(("input", "p", "training"), args, strict=False)) | kwargs)
        result = func(*args, **kwargs)
        if len(self.calls) > calls:
            self.sources.append(list(reversed(self._recent)))
            result = self._attended(calls, result)
        if func in SIGMOID:
            self.sigmoid = result.cpu()
        if func in SOFTMAX:
            self._forget_softmax()
            self._softmax, self._query = result, self._query_of(result)
        elif self._trace and func in MATMUL:
            self._products.appendleft((args[0], result.shape))
        return result

    def _query_of(self, weights: Tensor) -> Tensor | None:
        """The left operand of the last matrix product that gave scores of a softmax's shape."""
        return next((left for left, shape in self._products if shape == weights.shape), None)

    def _multi_head(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """torch's own multi-head attention, with this mode on inside it."""
        outer, self._folded = self._folded, num_heads(args, kwargs)
        super().__enter__()
        try:
            return multi_head_attention(*args, **kwargs)
        finally:
            super().__exit__(None, None, None)
            self._folded = outer

    def _attended(self, number: int, result: Tensor) -> Tensor:
        """The result of a call, changed, and kept in the form (batch, heads, queries, dim)."""
        call, apart = self.calls[number], self._heads_apart(result)
        for one in self._call_changes:
            if one.module in (None, call.module):
                call, changed = one.change(call, apart.cpu())
                apart = changed.to(result.device)
        self.calls[number] = call
        if result.requires_grad:
            self.attended[call.module] = apart
        if result.ndim == 5 and result.shape[2] != apart.shape[1]:  # it was (batch, heads, windows)
            return apart.unflatten(0, (len(result), -1)).transpose(1, 2)
        return apart.reshape(result.shape)

    def _heads_apart(self, x: Tensor) -> Tensor:
        """A tensor (batch, heads, …), where the model has folded its heads into the batch, or
        keeps windows in a dimension of their own: these become part of the batch."""
        if x.ndim not in (3, 5):
            return x
        module = self._module.get_submodule(self._running[-1])
        heads = self._folded or heads_of(module)
        if x.ndim == 3:
            return x.unflatten(0, (-1, heads if len(x) % heads == 0 else 1))
        return (x if x.shape[2] == heads else x.transpose(1, 2)).flatten(0, 1)

    def _see_dropout(self, given: Mapping[str, Any]) -> None:
        if given.get("p", 0.5) and given.get("training", True):
            self.dropping.append(self._running[-1] if self._running else "")

    def _forget_softmax(self) -> None:
        """The last softmax was not multiplied with anything as it was."""
        if self._softmax is not None:
            name = self._running[-1] if self._running else ""
            self.altered.append((name, tuple(self._softmax.shape)))
        self._softmax = None

    def _keep_product(self, left: Tensor, value: Tensor) -> None:
        """A matrix product: attention, if its left operand is a softmax or was made from one."""
        # Not over queries, nor changed in place.
        if left is self._softmax and rows_sum_to_one(left):
            self._softmax = None
            self._keep_weights(left, value)
            return
        made_from = (self._running[-1] if self._running else "", tuple(left.shape))
        if self._softmax is not None and self._softmax.shape == left.shape:
            self._forget_softmax()
        if made_from in self.altered and rows_sum_to_one(left):
            self.altered = [entry for entry in self.altered if entry != made_from]
            self._keep_weights(left, value)

    def _keep_weights(self, weights: Tensor, value: Tensor) -> None:
        query = self._query
        if weights.ndim in (3, 4):
            weights, value = self._heads_apart(weights), self._heads_apart(value)
            query = None if query is None else self._heads_apart(query)
            query = None if query is None else query.cpu()
            self.calls.append(SoftmaxCall(self._running[-1], weights.cpu(), value.cpu(), query))
        else:
            self.altered.append((self._running[-1], tuple(weights.shape)))

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
        del enable_gqa  # groups show in the shapes
        if dropout_p:  # some pass it in eval mode too
            self.dropping.append(self._running[-1])
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        query, key, value = (self._heads_apart(x).cpu() for x in (query, key, value))
        if attn_mask is not None:
            folded = attn_mask.ndim == 3 and len(attn_mask) > 1
            attn_mask = (self._heads_apart(attn_mask) if folded else attn_mask).cpu()
        name = self._running[-1]
        self.calls.append(AttentionCall(name, query, key, value, attn_mask, scale, is_causal))
