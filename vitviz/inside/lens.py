"""What happens to a token from layer to layer.

The residual stream: each block adds to a token what its attention and its MLP found (Elhage et al.
2021, "A mathematical framework for Transformer circuits"). The logit lens: the model's own
classifier applied after every layer (nostalgebraist 2020, "interpreting GPT: the logit lens").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.errors import ModelError, Phrase
from vitviz.interventions.sources import first_of
from vitviz.recording.recording import Recording

__all__ = ["NormSteps", "Stream", "logit_lens", "norm_steps", "residual_stream", "token_lens"]

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
def logit_lens(rec: Recording, stream: Stream) -> Tensor:
    """The model's final norm and classifier applied to every state: logits (layers + 1, classes).

    The last row is what the model itself predicts.

    Raises:
        ModelError: if the classifier does not read the tokens after the last block alone.
    """
    anatomy = rec.vit.anatomy
    if len(rec.logits) == 0 or anatomy.norm is None or not anatomy.can_classify:
        raise _no_classifier(rec)
    states = stream.states.to(anatomy.float_type)
    logits = anatomy.classify(anatomy.norm(states)).float()
    if not torch.allclose(logits[-1], rec.logits.float(), atol=1e-3, rtol=1e-3):
        raise ModelError(
            "classifier_reads_more",
            "The classifier of {model} reads more than its last tokens.",
            model=rec.vit.name,
        )
    return logits


@torch.no_grad()
def token_lens(rec: Recording, states: Tensor) -> Tensor:
    """The same for each token of one layer alone, as if it were what the classifier reads.

    Args:
        rec: from `record`.
        states: of every token, (tokens, width), such as `Stream.states[layer]`.

    Returns:
        Logits (tokens, classes). A class token's are those of `logit_lens`.

    Raises:
        ModelError: if the model has no classifier after a final norm.
    """
    anatomy = rec.vit.anatomy
    if len(rec.logits) == 0 or anatomy.norm is None or not anatomy.can_classify:
        raise _no_classifier(rec)
    normed = anatomy.norm(states.to(anatomy.float_type))
    # Whether the classifier takes the first token or the mean of the patches, it finds this one.
    alone = normed[:, None].expand(-1, rec.num_prefix_tokens + 1, -1)
    return anatomy.classify(alone).float()


def _no_classifier(rec: Recording) -> ModelError:
    return ModelError(
        "no_classifier_after_norm",
        "{model} has no classifier after a final norm to apply.",
        model=rec.vit.name,
    )


@torch.no_grad()
def norm_steps(rec: Recording, stream: Stream, layer: int, token: int) -> NormSteps:
    """The layer norm in front of a layer's attention, for one token. Ba et al. 2016,
    arXiv 1607.06450.

    Raises:
        ModelError: if there is none.
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
