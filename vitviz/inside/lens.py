"""What happens to a token from layer to layer.

The residual stream: each block adds to a token what its attention and its MLP found (Elhage et al.
2021, "A mathematical framework for Transformer circuits"). The logit lens: the model's own
classifier applied after every layer (nostalgebraist 2020, "interpreting GPT: the logit lens").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitviz.errors import ModelError
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording, block_names, float_type

__all__ = ["NormSteps", "Stream", "logit_lens", "norm_steps", "residual_stream"]

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
    """
    names = block_names(rec.vit.module)
    blocks: list[Any] = [rec.vit.module.get_submodule(name) for name in names]
    parts = [f"{name}.{part}" for name in names for part in ("attn", "mlp")]
    with Recorder(rec.vit.module, watch=[*names, *parts]) as recorder:
        rec.vit.module(rec.pixels[None].to(float_type(rec.vit.module)))
    refused = ModelError(
        f"The blocks of {rec.vit.name} do not add attention and MLP one after the other; choose a "
        "plain Vision Transformer (ViT, DeiT, DINO)."
    )
    if not names or any(part not in recorder.outputs for part in parts):
        raise refused
    states = [recorder.inputs[names[0]], *(recorder.outputs[name] for name in names)]
    attention, mlp = (
        [
            _scaled(block, scale, recorder.outputs[f"{name}.{part}"])
            for name, block in zip(names, blocks, strict=True)
        ]
        for part, scale in (("attn", "ls1"), ("mlp", "ls2"))
    )
    stream = Stream(*(torch.cat(found).float() for found in (states, attention, mlp)))
    added = stream.states[:-1] + stream.attention + stream.mlp
    if not torch.allclose(added, stream.states[1:], atol=TOLERANCE * float(added.abs().max())):
        raise refused
    return stream


def _scaled(block: Any, name: str, added: Tensor) -> Tensor:
    """What a block adds, after its layer scale where it has one."""
    scale = getattr(block, name, None)
    return added if scale is None else scale(added)


@torch.no_grad()
def logit_lens(rec: Recording, stream: Stream) -> Tensor:
    """The model's final norm and classifier applied to every state: logits (layers + 1, classes).

    The last row is what the model itself predicts.

    Raises:
        ModelError: if the classifier does not read the tokens after the last block alone.
    """
    module: Any = rec.vit.module
    if len(rec.logits) == 0 or not isinstance(getattr(module, "norm", None), nn.Module):
        raise ModelError(f"{rec.vit.name} has no classifier after a final norm to apply.")
    states = stream.states.to(float_type(module))
    logits: Tensor = module.forward_head(module.norm(states)).float()
    if not torch.allclose(logits[-1], rec.logits.float(), atol=1e-3, rtol=1e-3):
        raise ModelError(f"The classifier of {rec.vit.name} reads more than its last tokens.")
    return logits


@torch.no_grad()
def norm_steps(rec: Recording, stream: Stream, layer: int, token: int) -> NormSteps:
    """The layer norm in front of a layer's attention, for one token. Ba et al. 2016,
    arXiv 1607.06450.

    Raises:
        ModelError: if there is none.
    """
    norm = getattr(rec.vit.module.get_submodule(block_names(rec.vit.module)[layer]), "norm1", None)
    if not isinstance(norm, nn.LayerNorm):
        raise ModelError(f"{rec.vit.name} has no layer norm in front of its attention.")
    state = stream.states[layer, token]
    mean, variance = state.mean(), state.var(correction=0)
    spread = (variance + norm.eps).sqrt()
    centred = (state - mean) / spread
    return NormSteps(float(mean), float(spread), centred, norm(state.to(float_type(norm))).float())
