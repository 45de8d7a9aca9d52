"""Heads that look by another map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import MethodError, Phrase, VitvizError
from vitviz.interventions.addresses import by_layer, chosen_heads, whole_map
from vitviz.interventions.maps import with_map
from vitviz.interventions.sources import fits, said
from vitviz.models.weights import tensor_hash
from vitviz.recording.changes import CallChange
from vitviz.recording.layout import Call
from vitviz.recording.recording import Recording

__all__ = ["Attention", "SetAttention", "set_attention"]

Attention = str | Recording | Tensor | NDArray[np.float32] | Callable[[Tensor], Tensor]
"""“uniform”, “identity”, another recording's, a map, or a function of the model's own."""

TITLE = Phrase("set_attention", "setting its attention")


@dataclass(frozen=True, eq=False)
class SetAttention:
    """What `set_attention` declares."""

    layer: int
    attention: Attention
    heads: tuple[int, ...] | None

    def __str__(self) -> str:
        heads = None if self.heads is None else list(self.heads)
        return f"set_attention({self.layer}, {_said(self.attention)}, heads={heads})"

    def changes(self, rec: Recording) -> list[CallChange]:
        """As `Edit`."""
        layer = whole_map(rec, self.layer, TITLE)
        every = range(rec.num_heads(layer))
        named = every if self.heads is None else self.heads
        heads = chosen_heads(rec, layer, by_layer(rec, [(layer, h) for h in named]).get(layer, []))
        shape = (len(every), rec.num_tokens, rec.num_tokens)
        map_of = _map_of(rec, layer, self.attention, shape)

        def change(call: Call, result: Tensor) -> tuple[Call, Tensor]:
            return with_map(call, result, heads, map_of(call))

        return [CallChange(rec.layers[layer].module, change)] if heads.any() else []


@checked
def set_attention(
    layer: int, attention: Attention, heads: Sequence[int] | None = None
) -> SetAttention:
    """Some heads of a layer look by another map than their own; for the `edits` of `record`.

    The map takes the place of the attention after the softmax; the values are the model's own. A
    map that is the head's own already changes nothing, to the last bit.

    Args:
        layer: from 0; negative ones count from the last.
        attention: “uniform”, every token looks at all alike; “identity”, each at itself; a
            recording of another photo, whose heads' maps in this layer are taken; a map, (tokens,
            tokens) for every head or (heads, tokens, tokens), finite and not negative, whose rows
            are the tokens that look; or a function from the model's own map, float32 (heads,
            tokens, tokens), to another one, which `Heatmap.made_from` calls by its name.
        heads: which heads; None for all.

    Raises:
        VitvizError: for arguments of another kind; where it is recorded, if there is no such layer
            or head, its tokens look in windows, or the map has another shape or other numbers.

    Examples:
        >>> even = record(vit, photo, edits=[set_attention(11, "uniform")])
        >>> round(257 * float(even.attention(11).max()), 3)
        1.0
        >>> sharp = set_attention(11, lambda own: torch.softmax(2 * own.log(), dim=-1), heads=[0])
        >>> rec_sharp = record(vit, photo, edits=[sharp])
        >>> own = record(vit, photo, edits=[set_attention(11, rec)])
        >>> own.logits.equal(rec.logits)
        True
    """
    if isinstance(attention, str) and attention not in ("uniform", "identity"):
        raise VitvizError(
            "no_such_attention",
            "Attention is set to “uniform”, “identity”, a recording, a map or a function, not "
            "“{attention}”.",
            attention=attention,
        )
    return SetAttention(layer, attention, None if heads is None else tuple(map(int, heads)))


def _map_of(
    rec: Recording, layer: int, attention: Attention, shape: tuple[int, int, int]
) -> Callable[[Call], Tensor]:
    """The map, (photos | 1, heads, tokens, tokens), that takes the place of a call's own."""
    if callable(attention):
        given = attention
        return lambda call: torch.stack(
            [_checked(given(own), shape) for own in call.rows(slice(None))]
        )
    if isinstance(attention, Recording):
        fits(rec, attention)
        whole_map(attention, layer, TITLE)
        found = attention.attention(layer)
    elif isinstance(attention, str):
        even, own = torch.full(shape[1:], 1 / shape[1], dtype=torch.float32), torch.eye(shape[1])
        found = even if attention == "uniform" else own.float()
    else:
        found = torch.as_tensor(attention).detach().to(torch.float32)
    fixed = _checked(found.expand(shape) if found.shape == shape[1:] else found, shape)[None]
    return lambda _: fixed


def _checked(found: object, shape: tuple[int, int, int]) -> Tensor:
    """A map of a layer; MethodError if it has another shape, or numbers that no attention has."""
    if not isinstance(found, Tensor) or tuple(found.shape) != shape:
        raise MethodError(
            "map_of_other_shape",
            "The map of this layer is {shape} (heads, tokens, tokens), not {given}.",
            shape=shape,
            given=tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__,
        )
    if not bool((found.isfinite() & (found >= 0)).all()):
        raise MethodError(
            "map_no_attention", "A map of attention is finite and not negative; this one is not."
        )
    return found.to(torch.float32)


def _said(attention: Attention) -> str:
    if isinstance(attention, str):
        return repr(attention)
    if isinstance(attention, Recording):
        return said(attention)
    if callable(attention):
        return getattr(attention, "__qualname__", type(attention).__name__)
    return f"map({tensor_hash([('map', torch.as_tensor(attention))])!r})"
