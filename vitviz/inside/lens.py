"""What happens to a token from layer to layer.

The residual stream: each block adds to a token what its attention and its MLP found (Elhage et al.
2021, "A mathematical framework for Transformer circuits"). The logit lens: the model's own
classifier applied after every layer (nostalgebraist 2020, "interpreting GPT: the logit lens").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import ModelError, Phrase
from vitviz.interventions.sources import first_of
from vitviz.methods.lens import classified
from vitviz.recording.recording import Recording

__all__ = ["NormSteps", "Stream", "logit_lens", "norm_steps", "residual_stream"]

TITLE = Phrase("residual_stream", "the residual stream")
TOLERANCE = 1e-3  # of the largest number: a sum of three rounded numbers


@dataclass(frozen=True)
class Stream:
    """Every token on its way through the blocks, float32.

    Attributes:
        states: before the first block and after each, (layers + 1, tokens, width).
        attention: what each block's attention added, (layers, tokens, width).
        mlp: what its MLP added, (layers, tokens, width).
    """

    states: Tensor
    attention: Tensor
    mlp: Tensor


@dataclass(frozen=True)
class NormSteps:
    """What the layer norm in front of a block's attention does to one token.

    Attributes:
        mean, spread: of the token's numbers before it.
        centred: minus the mean, over the spread, (width,): mean 0 and spread 1.
        result: times the learned scale, plus the learned shift, (width,).
    """

    mean: float
    spread: float
    centred: Tensor
    result: Tensor


@torch.no_grad()
def residual_stream(rec: Recording) -> Stream:
    """The model's forward pass once more, with what each block adds: state = state before +
    attention + MLP.

    Raises:
        ModelError: if the model's blocks are not of that kind.
        MethodError: if tokens were patched.

    Examples:
        >>> stream = residual_stream(rec)
        >>> stream.states.shape  # (layers + 1, tokens, width)
        torch.Size([13, 257, 384])
        >>> added = stream.states[3] + stream.attention[3] + stream.mlp[3]
        >>> torch.allclose(added, stream.states[4], atol=1e-3)
        True
    """
    anatomy, names = rec.vit.anatomy, rec.vit.anatomy.blocks
    parts = [f"{name}.{part}" for name in names for part in ("attn", "mlp")]
    with rec.recorder([*names, *parts]) as recorder:
        rec.vit.run(rec.pixels[None].to(anatomy.float_type))
    refused = ModelError(
        "blocks_not_sequential",
        "The blocks of {model} do not add attention and MLP one after the other; "
        "choose a plain Vision Transformer (ViT, DeiT, DINO).",
        model=rec.vit.name,
    )
    given = {part: first_of(recorder.outputs.get(part)) for part in (*names, *parts)}
    found = {name: tokens for name, tokens in given.items() if tokens is not None}
    if not names or len(found) < len(given):
        raise refused
    states = [recorder.inputs[names[0]], *(found[name] for name in names)]
    attention, mlp = (
        [anatomy.scaled(layer, part, found[f"{name}.{part}"]) for layer, name in enumerate(names)]
        for part in ("attn", "mlp")
    )
    stream = Stream(*(torch.cat(each).float() for each in (states, attention, mlp)))
    added = stream.states[:-1] + stream.attention + stream.mlp
    if not torch.allclose(added, stream.states[1:], atol=TOLERANCE * float(added.abs().max())):
        rec.require_unedited(TITLE)  # patched tokens are no sum of what was added
        raise refused
    return stream


@torch.no_grad()
@checked
def logit_lens(rec: Recording, stream: Stream | None = None) -> Tensor:
    """The model's final norm and classifier applied to every state: logits (layers + 1, classes).

    The last row is what the model itself predicts.

    Args:
        rec: from `record`.
        stream: its `residual_stream`, where that is known already.

    Raises:
        ModelError: if the model has no classifier after a final norm, or it does not read the
            tokens after the last block alone.

    Examples:
        >>> top = logit_lens(rec).argmax(dim=-1)
        >>> [vit.labels[index] for index in top[-2:]]
        ['Egyptian cat', 'Egyptian cat']
    """
    logits = classified(rec, (stream or residual_stream(rec)).states)
    if not torch.allclose(logits[-1], rec.logits.float(), atol=1e-3, rtol=1e-3):
        raise ModelError(
            "classifier_reads_more",
            "The classifier of {model} reads more than its last tokens.",
            model=rec.vit.name,
        )
    return logits


@torch.no_grad()
def norm_steps(rec: Recording, stream: Stream, layer: int, token: int) -> NormSteps:
    """The layer norm in front of a layer's attention, for one token. Ba et al. 2016,
    arXiv 1607.06450.

    Raises:
        ModelError: if there is none.

    Examples:
        >>> steps = norm_steps(rec, residual_stream(rec), layer=3, token=0)
        >>> abs(float(steps.centred.mean())) < 1e-5
        True
    """
    anatomy = rec.vit.anatomy
    norm = anatomy.attention_norm(layer)
    if norm is None:
        raise ModelError(
            "no_norm_before_attention",
            "{model} has no layer norm in front of its attention.",
            model=rec.vit.name,
        )
    state = stream.states[layer, token]
    mean, variance = state.mean(), state.var(correction=0)
    spread = (variance + norm.eps).sqrt()
    centred = (state - mean) / spread
    return NormSteps(
        float(mean), float(spread), centred, norm(state.to(anatomy.float_type)).float()
    )
