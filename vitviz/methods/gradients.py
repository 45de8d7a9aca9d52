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
from vitviz.recording.record import mixed
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = [
    "Gradients",
    "LastInput",
    "Score",
    "Scored",
    "attention_gradient",
    "gradient",
    "gradients",
    "gradients_of_many",
    "last_input",
    "last_inputs_of_many",
    "map_gradient",
    "positive_part",
    "run_with_gradients",
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
class LastInput:
    """What enters the last block's attention, which is its input norm's output.

    Attributes:
        tokens: (tokens, width).
        gradient: ∂s/∂tokens of a score s.
    """

    tokens: Tensor
    gradient: Tensor


def gradients(rec: Recording, score: Scored) -> Gradients:
    """The gradients of a score, computed once and kept with the recording.

    The model is shared between threads and left as it was: its parameters' `grad` stays untouched
    and no hook remains.
    """
    return rec.derived.get(score, lambda: _gradients([rec], [score])[0], "gradients")


def last_input(rec: Recording, score: Scored) -> LastInput:
    """What enters the last block's attention, with the gradient of a score, kept likewise: the
    backward pass ends there, after one block."""
    return rec.derived.get(score, lambda: _last_inputs([rec], [score])[0], "last input")


def gradients_of_many(recs: Sequence[Recording], scores: Sequence[Scored]) -> None:
    """What `gradients` gives for each of these recordings, in one forward and backward pass.

    Args:
        recs: of one model, as it is, and inputs of one size.
        scores: of each.

    Raises:
        ModelError: if the model does not keep the photos of a batch apart.
        MethodError: where no gradient leads to the attention.
    """
    for rec, score, found in zip(recs, scores, _gradients(recs, scores), strict=True):
        rec.derived.keep(score, found, "gradients")


def last_inputs_of_many(recs: Sequence[Recording], scores: Sequence[Scored]) -> None:
    """The same for `last_input`."""
    for rec, score, found in zip(recs, scores, _last_inputs(recs, scores), strict=True):
        rec.derived.keep(score, found, "last input")


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


def _last_inputs(recs: Sequence[Recording], scores: Sequence[Scored]) -> list[LastInput]:
    """What enters the last block's attention in each."""
    first = recs[0]
    last = first.layers[-1].module
    with torch.inference_mode(False), torch.enable_grad():
        recorder, logits = run_with_gradients(recs, [last])
        tokens = recorder.inputs[last]
        [found] = gradient(first, _chosen(logits, scores).sum(), [tokens])
    tokens = tokens.detach().cpu()
    return [
        LastInput(_as_tokens(rec, tokens[i]), _as_tokens(rec, found[i]))
        for i, rec in enumerate(recs)
    ]


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
        "{model} has no gradients from its classes to its attention, as this method needs them "
        "(weights in int8 have none); use attention, rollout or occlusion.",
        model=rec.vit.name,
    )


def positive_part(rec: Recording, grads: Gradients, layer: int, rows: slice) -> Tensor:
    """E_h[(∂s/∂A ⊙ A)⁺] of some query tokens: (rows, tokens)."""
    gradient = attention_gradient(rec, grads.attended[layer], layer, rows)
    return gradient.mul_(rec.attention_rows(layer, rows)).clamp_(min=0).mean(dim=0)
