"""timm's plain Vision Transformer written out in float64, with a hand on what lies between."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Attended = tuple[
    Tensor, Tensor
]  # maps (1, heads, tokens, tokens) and values (1, heads, tokens, dim)


@dataclass
class By:
    """What is done at one place of the forward pass: given the layer, and what is there."""

    attention: Callable[[int, Tensor, Tensor], Attended] = lambda _, maps, values: (maps, values)
    state: Callable[[int, Tensor], Tensor] = lambda _, tokens: tokens
    scale: Callable[[int, str], float] = lambda _layer, _part: 1.0


@dataclass
class Pass:
    """What the forward pass computed, layer by layer."""

    maps: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))


def written_out(
    module: nn.Module, pixels: Tensor, done: Sequence[By] = (), left: Tensor | None = None
) -> Pass:
    """The forward pass on one input (channels, height, width).

    Args:
        done: in this order, at each place.
        left: which tokens there are at all, boolean (tokens,).
    """
    module, run = copy.deepcopy(module).double(), Pass()
    x = module.norm_pre(module._pos_embed(module.patch_embed(pixels[None].double())))
    x = x if left is None else x[:, left]
    for layer, block in enumerate(module.blocks):
        attention, normed = block.attn, block.norm1(x)
        split = attention.qkv(normed).unflatten(-1, (3, attention.num_heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        maps = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(dim=-1)
        for one in done:
            maps, value = one.attention(layer, maps, value)
        if maps.requires_grad:
            maps.retain_grad()
        found = attention.proj((maps @ value).transpose(1, 2).flatten(2))
        x = x + _product(done, layer, "attention") * block.ls1(found)
        x = x + _product(done, layer, "mlp") * block.ls2(block.mlp(block.norm2(x)))
        for one in done:
            x = one.state(layer, x)
        run.maps.append(maps)
        run.values.append(value)
        run.states.append(x)
    run.logits = module.forward_head(module.norm(x))[0]
    return run


def _product(done: Sequence[By], layer: int, part: str) -> float:
    factor = 1.0
    for one in done:
        factor *= one.scale(layer, part)
    return factor
