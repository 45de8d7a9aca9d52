"""Gradients of one class score: a second forward pass and a backward pass, shared by methods.

Those of many photos are computed in one pass where the model keeps the photos of a batch apart.

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
from vitviz.recording.record import mixed
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = [
    "Gradients",
    "LayerInput",
    "Score",
    "Scored",
    "attention_gradient",
    "gradient",
    "gradients",
    "gradients_of_many",
    "layer_input",
    "layer_inputs_of_many",
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
    """

    score: float
    attended: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class LayerInput:
    """What enters a layer's attention, such as its block's input norm's output.

    Attributes:
        tokens: x, of the layer's tokens, (tokens, width).
        gradient: ∂s/∂x of a score s.
    """

    tokens: Tensor
    gradient: Tensor


def gradients(rec: Recording, score: Scored) -> Gradients:
    """The gradients of a score, computed once and kept with the recording.

    The model is shared between threads and left as it was: its parameters' `grad` stays untouched
    and no hook remains.
    """
    return rec.derived.get(score, lambda: _gradients([rec], [score])[0], "gradients")


def layer_input(rec: Recording, score: Scored, layer: int) -> LayerInput:
    """What enters a layer's attention, with the gradient of a score, kept likewise: the backward
    pass ends there.

    Raises:
        MethodError: if no gradient leads there, or nothing in front of the layer's attention holds
            one vector a token.
    """
    key = (score, layer)
    return rec.derived.get(key, lambda: _layer_inputs([rec], [score], layer)[0], "layer input")


def gradients_of_many(
    recs: Sequence[Recording], scores: Sequence[Scored], **options: object
) -> None:
    """What `gradients` gives for each of these recordings, in one forward and backward pass.

    Args:
        recs: of one model, as it is, and inputs of one size.
        scores: of each.
        options: of the method; they change nothing here.

    Raises:
        ModelError: if the model does not keep the photos of a batch apart.
        MethodError: where no gradient leads to the attention.
    """
    del options
    for rec, score, found in zip(recs, scores, _gradients(recs, scores), strict=True):
        rec.derived.keep(score, found, "gradients")


def layer_inputs_of_many(recs: Sequence[Recording], scores: Sequence[Scored], layer: int) -> None:
    """The same for `layer_input`."""
    for rec, score, found in zip(recs, scores, _layer_inputs(recs, scores, layer), strict=True):
        rec.derived.keep((score, layer), found, "layer input")


def attention_gradient(rec: Recording, attended: Tensor, layer: int, rows: slice) -> Tensor:
    """∂s/∂A of some query tokens of a layer, (heads, rows, tokens), from its ∂s/∂O."""
    return map_gradient(rec.layers[layer], attended[None, :, rows])[0]


def map_gradient(call: AttentionCall | SoftmaxCall, attended: Tensor) -> Tensor:
    """∂s/∂A = (∂s/∂O) Vᵀ: (batch, heads, rows, dim) → (batch, heads, rows, keys)."""
    value = for_each_head(call.value.float(), attended.shape[1])
    return attended @ value.transpose(-2, -1)


def _gradients(recs: Sequence[Recording], scores: Sequence[Scored]) -> list[Gradients]:
    """The gradients of each recording's own score."""
    first = recs[0]
    with torch.inference_mode(False), torch.enable_grad():
        recorder, logits = run_with_gradients(recs)
        chosen = _chosen(logits, scores)
        attended = [recorder.attended.get(call.module) for call in first.layers]
        found = gradient(first, chosen.sum(), attended)
    return [
        Gradients(float(chosen[i].detach()), tuple(layer[i] for layer in found))
        for i in range(len(recs))
    ]


def _layer_inputs(
    recs: Sequence[Recording], scores: Sequence[Scored], layer: int
) -> list[LayerInput]:
    """What enters a layer's attention in each."""
    first = recs[0]
    with torch.inference_mode(False), torch.enable_grad():
        if first.layouts:
            each = zip(recs, scores, strict=True)
            return [_traced_input(rec, score, layer) for rec, score in each]
        module = first.layers[layer].module
        recorder, logits = run_with_gradients(recs, [module])
        tokens = recorder.inputs[module]
        [found] = gradient(first, _chosen(logits, scores).sum(), [tokens])
    tokens = tokens.detach().cpu()
    return [
        LayerInput(_as_tokens(rec, tokens[i]), _as_tokens(rec, found[i]))
        for i, rec in enumerate(recs)
    ]


def _traced_input(rec: Recording, score: Scored, layer: int) -> LayerInput:
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
    return LayerInput(in_raster(entered.detach().cpu()), in_raster(slope))


def _chosen(logits: Tensor, scores: Sequence[Scored]) -> Tensor:
    """The score of each row of logits, (photos,)."""
    return torch.stack([score.of(row) for score, row in zip(scores, logits, strict=True)])


def _as_tokens(rec: Recording, values: Tensor) -> Tensor:
    """Values of the tokens, (tokens, width), (rows, cols, width) or (width, rows, cols), as
    (tokens, width)."""
    if values.ndim == 3 and values.shape[:2] == rec.grid:
        return values.flatten(0, 1)
    if values.ndim == 3 and values.shape[1:] == rec.grid:
        return values.flatten(1).T
    return values


def run_with_gradients(
    recs: Sequence[Recording], watch: Sequence[str] = ()
) -> tuple[Recorder, Tensor]:
    """The model run once more on the inputs of recordings, where gradients are on: what it did,
    with the inputs and outputs of the modules to watch, and its logits, (photos, classes).

    Raises:
        ModelError: if the model does not keep several photos of a batch apart.
    """
    pixels = torch.stack([rec.pixels for rec in recs]).requires_grad_()
    with recs[0].recorder(watch) as recorder:
        logits = recs[0].vit.run(pixels)
    if len(recs) > 1 and recorder.batch != len(recs):
        raise mixed(recs[0].vit)
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
        "needs them (weights in int8 have none); use attention, rollout or occlusion.",
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
