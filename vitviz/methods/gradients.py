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

from vitviz.errors import MethodError
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
    blocks = _blocks(rec)
    with torch.inference_mode(False), torch.enable_grad():
        pixels = rec.pixels[None].clone().requires_grad_()
        with Recorder(module, watch=(*blocks, last_input)) as recorder:
            logits = rec.vit.run(pixels)
        attended = [recorder.attended.get(call.module) for call in rec.layers]
        wanted = [*attended, recorder.inputs[last_input]]
        chosen = score.of(logits[0])
        *maps, last_input_gradient = _gradient(rec, chosen, wanted)
        own = _own_gradients(rec, score, recorder, logits, blocks)
    return Gradients(
        float(chosen.detach()),
        tuple(gradient[0] for gradient in maps),
        own,
        _as_tokens(rec, recorder.inputs[last_input][0].detach()),
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


def _gradient(rec: Recording, score: Tensor, wanted: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """∂score/∂wanted; MethodError where no graph leads there."""
    known = [tensor for tensor in wanted if tensor is not None and tensor.requires_grad]
    if len(known) == len(wanted) and score.requires_grad:
        found = torch.autograd.grad(score, known, retain_graph=True, allow_unused=True)
        if all(gradient is not None for gradient in found):
            return found
    raise MethodError(
        "no_gradient",
        "{model} has no gradients from its classes to its attention, as this method needs them "
        "(weights in int8 have none); use attention, rollout or occlusion.",
        model=rec.vit.name,
    )


def _own_gradients(
    rec: Recording, score: Score, recorder: Recorder, logits: Tensor, blocks: Sequence[str]
) -> tuple[Tensor, ...] | None:
    """∂s^l/∂O of each layer l; None unless what follows the blocks turns the last tokens alone
    into `logits`.

    It is asked: the model runs once more, and in the place of its last block's tokens those of all
    blocks go on, as a batch. Only block l lies between s^l and O of layer l, so all layers together
    cost less than one backward pass.
    """
    states = [_state(recorder.outputs[block]) for block in blocks]
    given = [_state(recorder.inputs[block]) for block in blocks[1:]]
    if not states or not all(a is b for a, b in zip(states, given, strict=False)):
        return None
    tokens = torch.cat([state for state in states if state is not None])
    try:
        with Recorder(rec.vit.module, instead={blocks[-1]: tokens}):
            scores = rec.vit.run(rec.pixels[None])
    except RuntimeError:  # what follows takes no batch but the photo's own
        return None
    if len(scores) != len(blocks) or not torch.allclose(scores[-1:], logits, atol=1e-4):
        return None
    own: list[Tensor] = []
    for score_of_block, call in zip(score.of(scores), rec.layers, strict=True):
        attended = recorder.attended[call.module]
        own += torch.autograd.grad(score_of_block, attended, retain_graph=True)
    return tuple(gradient[0] for gradient in own)


def _state(value: object) -> Tensor | None:
    """The tokens among what a block was given or gives."""
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, Tensor) else None


def _blocks(rec: Recording) -> tuple[str, ...]:
    """The modules around each layer's attention that follow one another: children of the innermost
    that holds them all; none if one holds several layers."""
    names = [call.module.split(".") for call in rec.layers]
    shared = 0
    while all(len(name) > shared + 1 for name in names) and len({n[shared] for n in names}) == 1:
        shared += 1
    blocks = tuple(dict.fromkeys(".".join(name[: shared + 1]) for name in names))
    return blocks if len(blocks) == rec.num_layers else ()


def positive_part(rec: Recording, grads: Gradients, layer: int, rows: slice) -> Tensor:
    """E_h[(∂s/∂A ⊙ A)⁺] of some query tokens: (rows, tokens)."""
    gradient = attention_gradient(rec, grads.attended[layer], layer, rows)
    return gradient.mul_(rec.attention_rows(layer, rows)).clamp_(min=0).mean(dim=0)
