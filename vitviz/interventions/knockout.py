"""Tokens between which no attention flows. Geva et al. 2023, arXiv 2304.14767."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import Phrase
from vitviz.interventions.addresses import Token, chosen_tokens, whole_map
from vitviz.recording.calls import AttentionCall, SoftmaxCall
from vitviz.recording.changes import CallChange
from vitviz.recording.layout import Call
from vitviz.recording.query import as_query
from vitviz.recording.recording import Recording

__all__ = ["KnockOut", "knock_out"]

TITLE = Phrase("knock_out", "knocking out tokens")


@dataclass(frozen=True)
class KnockOut:
    """What `knock_out` declares."""

    tokens: tuple[Token, ...]
    layers: tuple[int, ...] | None

    def __str__(self) -> str:
        layers = None if self.layers is None else list(self.layers)
        return f"knock_out({list(self.tokens)}, layers={layers})"

    def changes(self, rec: Recording) -> list[CallChange]:
        """As `Edit`."""
        out = chosen_tokens(rec, self.tokens)
        asked = range(rec.num_layers) if self.layers is None else self.layers
        layers = dict.fromkeys(whole_map(rec, layer, TITLE) for layer in asked)
        if not out.any():
            return []
        found = [_shut_out(rec.layers[layer].module, out, out) for layer in layers]
        if self.layers is None and rec.pool is not None:  # whose head may leave out the prefix
            keys = out[-rec.pool.shape[3] :]
            found.append(_shut_out(rec.pool.module, torch.zeros(1, dtype=torch.bool), keys))
        return found


@checked
def knock_out(tokens: Sequence[Token], layers: Sequence[int] | None = None) -> KnockOut:
    """Some tokens neither look nor are looked at; for the `edits` of `record`.

    The softmax of every other token is taken over the tokens that are left, so that its row still
    sums to 1. A token that is knocked out collects nothing, not even from itself: its row is 0. Its
    MLPs go on. In all layers of a model that classifies its class token this is the same as taking
    the tokens away; a classifier that reads the mean of the patches still reads theirs, and
    attention pooling does not look at them either.

    Args:
        tokens: “cls”, “registers” (all other tokens in front of the patches) or patches as (row,
            column); none changes nothing.
        layers: in which; None for all, and the attention pooling.

    Raises:
        VitvizError: for arguments of another kind; where it is recorded, if there is no such token
            or layer, or if the tokens of a layer look in windows.

    Examples:
        >>> without = record(vit, photo, edits=[knock_out([(3, 4), (3, 5)])])
        >>> attention = without.attention(6)
        >>> float(attention[:, :, without.token((3, 4))].max())
        0.0
        >>> round(float(attention[0, 0].sum()), 3)
        1.0
    """
    return KnockOut(
        tuple(map(as_query, tokens)),
        None if layers is None else tuple(map(int, layers)),
    )


def _shut_out(module: str, queries: Tensor, keys: Tensor) -> CallChange:
    """Queries that do not look and keys that are not looked at, boolean (queries | 1,), (keys,)."""
    silent = (queries | keys.all())[:, None]

    def change(call: Call, result: Tensor) -> tuple[Call, Tensor]:
        if isinstance(call, SoftmaxCall):
            left = call.weights.masked_fill(keys, 0)
            total = left.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(left.dtype).tiny)
            shut = replace(call, weights=(left / total).masked_fill(silent, 0))
            return shut, shut.result()
        seeing = replace(call, mask=_masked(call, keys[None]), is_causal=False)
        if not keys.all():  # a softmax over nothing has no gradient
            result = seeing.result()
        return replace(seeing, mask=_masked(seeing, silent)), result.masked_fill(silent, 0)

    return CallChange(module, change)


def _masked(call: AttentionCall, hidden: Tensor) -> Tensor:
    """The call's mask with more hidden, boolean (queries | 1, keys | 1)."""
    mask = call.mask
    if call.is_causal:  # and then it has no mask
        mask = torch.ones(call.shape[2:], dtype=torch.bool).tril()
    if mask is None:
        return ~hidden.expand(call.shape[2:])
    return mask & ~hidden if mask.dtype == torch.bool else mask.masked_fill(hidden, float("-inf"))
