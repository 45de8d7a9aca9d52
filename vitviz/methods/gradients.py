"""Gradients of one class score: a second forward pass and a backward pass, shared by methods.

The gradient with respect to an attention map A is never stored. A enters the model only as
O = A V, so ∂s/∂A = (∂s/∂O) Vᵀ exactly: a recording already keeps V, and ∂s/∂O is as small as V.
Fused attention stays on, rows of ∂s/∂A are derived on demand, and what is kept for one class is
O(tokens × width) a layer: about 10 MB for a ViT-S with 257 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.recording.calls import AttentionCall, SoftmaxCall, for_each_head
from vitviz.recording.find import tokens_before
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = [
    "Gradients",
    "Score",
    "Scored",
    "attention_gradient",
    "gradient",
    "gradients",
    "layer_input",
    "map_gradient",
    "pixel_gradients",
    "positive_part",
    "run_with_gradients",
    "weighted",
]


class Scored(Protocol):
    """What is differentiated: a number made of the logits. Equal ones are computed once."""

    def of(self, logits: Tensor) -> Tensor: ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Score:
    """The logit of class `target`, or how far it is above `versus`'s."""

    target: int
    versus: int | None = None

    def of(self, logits: Tensor) -> Tensor:
        """Logits (…, classes) → scores (…)."""
        chosen = logits[..., self.target]
        return chosen if self.versus is None else chosen - logits[..., self.versus]


@dataclass(frozen=True, eq=False)
class Gradients:
    """What one backward pass from a score s says.

    Attributes:
        score: s.
        attended: ∂s/∂O of each layer, (heads, tokens, dim), where O = A V.
        last_input: what enters the last block's attention, (tokens, width): its input norm's
            output.
        last_input_gradient: ∂s/∂last_input.
    """

    score: float
    attended: tuple[Tensor, ...]
    last_input: Tensor
    last_input_gradient: Tensor


def gradients(rec: Recording, score: Scored) -> Gradients:
    """The gradients of a score, computed once and kept with the recording.

    The model is shared between threads and left as it was: its parameters' `grad` stays untouched
    and no hook remains.
    """
    return rec.derived.get(score, lambda: _differentiate(rec, score))


def layer_input(rec: Recording, score: Scored, layer: int) -> tuple[Tensor, Tensor]:
    """What enters a layer's attention, x, and ∂s/∂x: (tokens, width) each, of the layer's tokens.

    Raises:
        MethodError: if no gradient leads there, or nothing in front of the layer's attention holds
            one vector a token.
    """
    if not rec.layouts and layer == rec.num_layers - 1:
        grads = gradients(rec, score)
        return grads.last_input, grads.last_input_gradient
    with torch.inference_mode(False), torch.enable_grad():
        if rec.layouts:
            return _traced_input(rec, score, layer)
        module = rec.layers[layer].module
        recorder, logits = run_with_gradients(rec, [module])
        entered = recorder.inputs[module]
        [found] = gradient(rec, score.of(logits[0]), [entered])
    return _as_tokens(rec, entered[0].detach().cpu()), _as_tokens(rec, found[0])


def _traced_input(rec: Recording, score: Scored, layer: int) -> tuple[Tensor, Tensor]:
    """The same where windows are cut and grids merged: the last tensor that still is in place."""
    with rec.recorder(trace=True) as recorder:
        logits = rec.vit.run(rec.pixels[None].clone().requires_grad_())
    names, height, width = [c.module for c in recorder.calls], *rec.pixels.shape[-2:]
    number = names.index(rec.layers[layer].module)
    found = tokens_before(
        rec.vit.running,
        recorder.calls[number],
        recorder.sources[number],
        rec.layouts[layer],
        (height, width),
    )
    if found is None:
        raise MethodError(
            "no_tokens_in_front",
            "In front of the attention of layer {layer} of {model} nothing holds one vector a "
            "patch, as this method needs it; choose another layer, or use occlusion.",
            layer=layer,
            model=rec.vit.name,
        )
    entered, in_raster = found
    [slope] = gradient(rec, score.of(logits[0]), [entered])
    return in_raster(entered.cpu()), in_raster(slope)


def attention_gradient(rec: Recording, attended: Tensor, layer: int, rows: slice) -> Tensor:
    """∂s/∂A of some query tokens of a layer, (heads, rows, tokens), from its ∂s/∂O."""
    return map_gradient(rec.layers[layer], attended[None, :, rows])[0]


def map_gradient(call: AttentionCall | SoftmaxCall, attended: Tensor) -> Tensor:
    """∂s/∂A = (∂s/∂O) Vᵀ: (batch, heads, rows, dim) → (batch, heads, rows, keys)."""
    value = for_each_head(call.value.float(), attended.shape[1])
    return attended @ value.transpose(-2, -1)


def _differentiate(rec: Recording, score: Scored) -> Gradients:
    last_input = rec.layers[-1].module
    with torch.inference_mode(False), torch.enable_grad():
        recorder, logits = run_with_gradients(rec, [last_input])
        attended = [recorder.attended.get(call.module) for call in rec.layers]
        chosen = score.of(logits[0])
        *maps, last_input_gradient = gradient(rec, chosen, [*attended, recorder.inputs[last_input]])
    return Gradients(
        float(chosen.detach()),
        tuple(found[0] for found in maps),
        _as_tokens(rec, recorder.inputs[last_input][0].detach().cpu()),
        _as_tokens(rec, last_input_gradient[0]),
    )


def _as_tokens(rec: Recording, values: Tensor) -> Tensor:
    """Values of the tokens, (tokens, width), (rows, cols, width) or (width, rows, cols), as
    (tokens, width)."""
    if values.ndim == 3 and values.shape[:2] == rec.grid:
        return values.flatten(0, 1)
    if values.ndim == 3 and values.shape[1:] == rec.grid:
        return values.flatten(1).T
    return values


def run_with_gradients(rec: Recording, watch: Sequence[str]) -> tuple[Recorder, Tensor]:
    """The model run once more, where gradients are on: what it did, with the inputs and outputs of
    the modules to watch, and its logits, (1, classes)."""
    pixels = rec.pixels[None].clone().requires_grad_()
    with rec.recorder(watch) as recorder:
        logits = rec.vit.run(pixels)
    return recorder, logits


def gradient(rec: Recording, score: Tensor, wanted: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """∂score/∂wanted, on the processor; MethodError where no graph leads there."""
    known = [tensor for tensor in wanted if tensor is not None and tensor.requires_grad]
    if len(known) == len(wanted) and score.requires_grad:
        found = torch.autograd.grad(score, known, retain_graph=True, allow_unused=True)
        if all(each is not None for each in found):
            return [each.cpu() for each in found]
    raise MethodError(
        "no_gradient",
        "{model} has no gradients from its classes to what they are made from, as this method "
        "needs them "
        "(weights in int8 have none); use attention, rollout or occlusion.",
        model=rec.vit.name,
    )


def pixel_gradients(rec: Recording, score: Scored, pixels: Tensor) -> Tensor:
    """∂s/∂x of several inputs x, (inputs, channels, height, width), each of its own score.

    Raises:
        MethodError: if no gradient leads from classes to pixels, as with weights in int8.
    """
    with torch.inference_mode(False), torch.enable_grad():
        inputs = pixels.clone().requires_grad_()
        [found] = gradient(rec, score.of(rec.run(inputs)).sum(), [inputs])
    return found


def positive_part(rec: Recording, grads: Gradients, layer: int, rows: slice) -> Tensor:
    """E_h[(∂s/∂A ⊙ A)⁺] of some query tokens: (rows, tokens)."""
    return weighted(rec, grads, layer, rows).clamp_(min=0).mean(dim=0)


def weighted(rec: Recording, grads: Gradients, layer: int, rows: slice) -> Tensor:
    """∂s/∂A ⊙ A of some query tokens: (heads, rows, tokens)."""
    gradient = attention_gradient(rec, grads.attended[layer], layer, rows)
    return gradient.mul_(rec.attention_rows(layer, rows))
