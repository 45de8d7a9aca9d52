"""Gradients of one class score: a second forward pass and a backward pass, shared by all methods.

The gradient with respect to an attention map A is never stored. A enters the model only as
O = A V, so ∂s/∂A = (∂s/∂O) Vᵀ exactly: a recording already keeps V, and ∂s/∂O is as small as V.
Fused attention stays on, rows of ∂s/∂A are derived on demand, and what is kept for one class is
O(tokens × width) a layer: about 10 MB for a ViT-S with 257 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.recording.calls import AttentionCall, SoftmaxCall
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = ["Gradients", "Score", "attention_gradient", "gradients", "map_gradient"]


@dataclass(frozen=True)
class Score:
    """What is differentiated: the logit of class `target`, or how far it is above `versus`'s."""

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
        own: ∂s^l/∂O of each layer l, where s^l is the score that the model's final norm and head
            give to block l's tokens; None where the model's score is not made that way.
        last_input: what enters the last block's attention, (tokens, width): its input norm's
            output.
        last_input_gradient: ∂s/∂last_input.
    """

    score: float
    attended: tuple[Tensor, ...]
    own: tuple[Tensor, ...] | None
    last_input: Tensor
    last_input_gradient: Tensor


def gradients(rec: Recording, score: Score) -> Gradients:
    """The gradients of a score, computed once and kept with the recording.

    The model is shared between threads and left as it was: its parameters' `grad` stays untouched
    and no hook remains.
    """
    return rec.derived.get(score, lambda: _differentiate(rec, score))


def attention_gradient(rec: Recording, attended: Tensor, layer: int, rows: slice) -> Tensor:
    """∂s/∂A of some query tokens of a layer, (heads, rows, tokens), from its ∂s/∂O."""
    return map_gradient(rec.layers[layer], attended[None, :, rows])[0]


def map_gradient(call: AttentionCall | SoftmaxCall, attended: Tensor) -> Tensor:
    """∂s/∂A = (∂s/∂O) Vᵀ: (batch, heads, rows, dim) → (batch, heads, rows, keys)."""
    value = call.value.float()
    if value.shape[1] != attended.shape[1]:  # grouped queries share a value head
        value = value.repeat_interleave(attended.shape[1] // value.shape[1], dim=1)
    return attended @ value.transpose(-2, -1)


def _differentiate(rec: Recording, score: Score) -> Gradients:
    module, last_input = rec.vit.module, rec.layers[-1].module
    blocks = rec.vit.anatomy.blocks
    with torch.inference_mode(False), torch.enable_grad():
        pixels = rec.pixels[None].clone().requires_grad_()
        with Recorder(module, watch=(*blocks, last_input)) as recorder:
            logits = rec.vit.run(pixels)
        attended = [recorder.attended[call.module] for call in rec.layers]
        chosen = score.of(logits[0])
        *maps, last_input_gradient = torch.autograd.grad(
            chosen, [*attended, recorder.inputs[last_input]], retain_graph=True
        )
        own = _own_gradients(rec, score, recorder, logits)
    return Gradients(
        float(chosen.detach()),
        tuple(gradient[0] for gradient in maps),
        own,
        recorder.inputs[last_input][0].detach(),
        last_input_gradient[0],
    )


def _own_gradients(
    rec: Recording, score: Score, recorder: Recorder, logits: Tensor
) -> tuple[Tensor, ...] | None:
    """∂s^l/∂O of each layer l; None unless final norm and head turn the last tokens into `logits`.

    Only block l lies between them, so all layers together cost less than one backward pass.
    """
    anatomy = rec.vit.anatomy
    norm, classify, blocks = anatomy.norm, anatomy.classify, anatomy.blocks
    if norm is None or not (anatomy.can_classify and _one_block_a_layer(rec, blocks)):
        return None
    if not torch.allclose(classify(norm(recorder.outputs[blocks[-1]])), logits, atol=1e-4):
        return None
    own: list[Tensor] = []
    for block, call in zip(blocks, rec.layers, strict=True):
        score_of_block = score.of(classify(norm(recorder.outputs[block]))[0])
        attended = recorder.attended[call.module]
        own += torch.autograd.grad(score_of_block, attended, retain_graph=True)
    return tuple(gradient[0] for gradient in own)


def _one_block_a_layer(rec: Recording, blocks: Sequence[str]) -> bool:
    return len(blocks) == rec.num_layers and all(
        f"{call.module}.".startswith(f"{block}.")
        for call, block in zip(rec.layers, blocks, strict=True)
    )


def positive_part(rec: Recording, grads: Gradients, layer: int, rows: slice) -> Tensor:
    """E_h[(∂s/∂A ⊙ A)⁺] of some query tokens: (rows, tokens)."""
    gradient = attention_gradient(rec, grads.attended[layer], layer, rows)
    return gradient.mul_(rec.attention_rows(layer, rows)).clamp_(min=0).mean(dim=0)
