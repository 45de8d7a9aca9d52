"""The model run again with fewer tokens: similar ones merged in each layer, or neighbours pooled.

Bolya et al. 2022, Token merging, arXiv 2210.09461: tokens are put into two sets in turn, each of
the first finds its most similar one of the second by the cosine of their keys, and the most similar
pairs become their mean. A token that stands for s patches has its score raised by ln s, so that it
is looked at as its patches were (“proportional attention”).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.errors import VitvizError
from vitviz.interventions.blocks import run_blocks
from vitviz.recording.calls import AttentionCall
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = ["Fewer", "merge_tokens", "most_alike", "pool_tokens"]

SIDE = 2  # patches that are pooled, in each direction


@dataclass(frozen=True)
class Fewer:
    """A forward pass in which tokens became fewer.

    Attributes:
        logits: (classes,).
        groups: for each patch the number of the last layer's token that holds it, (rows, cols).
        counts: how many tokens each layer's attention read, and how many were left at the end,
            (layers + 1).
    """

    logits: Tensor
    groups: Tensor
    counts: tuple[int, ...]


def most_alike(keys: Tensor, fixed: int, count: int) -> Tensor:
    """Which tokens become one: for each token the number of the new one, (tokens,), in the order in
    which they stand.

    Args:
        keys: (tokens, dim); the first, third, … choose among the second, fourth, ….
        fixed: tokens in front that neither choose nor are chosen.
        count: pairs, or all there are if these are fewer.
    """
    unit, into = F.normalize(keys[fixed:], dim=-1), torch.arange(len(keys))
    if len(unit) < 2:
        return into
    alike, chosen = (unit[::2] @ unit[1::2].T).max(dim=1)
    merging = alike.argsort(descending=True, stable=True)[:count]
    into[fixed + 2 * merging] = fixed + 2 * chosen[merging] + 1
    return into.unique(return_inverse=True)[1]


@torch.no_grad()
def merge_tokens(rec: Recording, count: int) -> Fewer:
    """Merge so many pairs of patch tokens in each layer, between its attention and its MLP.

    Args:
        rec: whose photo.
        count: pairs a layer, r in the paper; 0 is the model itself.

    Raises:
        ModelError: as `run_blocks`.
        VitvizError: for a negative count.

    Examples:
        >>> merge_tokens(rec, 16).counts[:3]
        (257, 241, 225)
    """
    if count < 0:
        raise VitvizError(
            "negative_pairs", "The number of pairs is 0 or more, not {count}.", count=count
        )
    anatomy, prefix = rec.vit.anatomy, rec.num_prefix_tokens
    sizes, holds = torch.ones(rec.num_tokens), torch.arange(rec.num_tokens)
    counts = [rec.num_tokens]

    def block(layer: int, tokens: Tensor) -> Tensor:
        nonlocal sizes, holds
        with Recorder(rec.vit.module) as recorder:
            tokens = anatomy.attend(layer, tokens, sizes.log().to(tokens.dtype).expand(1, 1, 1, -1))
        call = recorder.calls[0]
        assert isinstance(call, AttentionCall)
        into = most_alike(call.key[0].float().mean(dim=0), prefix, count)
        tokens, sizes = averaged(tokens, sizes, into)
        holds = into[holds]
        counts.append(len(sizes))
        return anatomy.process(layer, tokens)

    logits = run_blocks(rec, block)
    return Fewer(logits, holds[prefix:].unflatten(0, rec.grid), tuple(counts))


@torch.no_grad()
def pool_tokens(rec: Recording, layer: int) -> Fewer:
    """Put the mean of each 2 × 2 patches in their place before a layer, whatever they show.

    Args:
        rec: whose photo.
        layer: the first that reads the means; as many as there are layers pools nothing.

    Raises:
        ModelError: as `run_blocks`.
    """
    anatomy, prefix = rec.vit.anatomy, rec.num_prefix_tokens
    rows, cols = (torch.arange(side) // SIDE for side in rec.grid)
    groups = rows[:, None] * (int(cols[-1]) + 1) + cols
    into = torch.cat([torch.arange(prefix), prefix + groups.flatten()])

    def block(at: int, tokens: Tensor) -> Tensor:
        if at == layer:
            tokens, _ = averaged(tokens, torch.ones(rec.num_tokens), into)
        return anatomy.process(at, anatomy.attend(at, tokens))

    logits = run_blocks(rec, block)
    pooled = layer < rec.num_layers
    apart = torch.arange(groups.numel()).unflatten(0, rec.grid)
    left = prefix + int(groups.max()) + 1
    counts = [left if pooled and at >= layer else rec.num_tokens for at in range(rec.num_layers)]
    end = left if pooled else rec.num_tokens
    return Fewer(logits, prefix + (groups if pooled else apart), (*counts, end))


def averaged(tokens: Tensor, sizes: Tensor, into: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the tokens (1, tokens, width) that become one, weighted with how many patches each
    stands for, (tokens,), and the new sizes."""
    count = int(into.max()) + 1
    total = sizes.new_zeros(count).index_add(0, into, sizes)
    weighted = tokens[0] * sizes[:, None].to(tokens.dtype)
    summed = tokens.new_zeros(count, tokens.shape[2]).index_add(0, into, weighted)
    return (summed / total[:, None].to(tokens.dtype))[None], total
