"""Which layers, heads and tokens of a recording an edit names."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import torch
from torch import Tensor

from vitviz.errors import MethodError, Phrase, VitvizError
from vitviz.recording.query import check_layer, is_cls
from vitviz.recording.recording import Recording

__all__ = ["Head", "Token", "by_layer", "chosen_heads", "chosen_tokens", "whole_map"]

Head = tuple[int, int]
"""A head as (layer, head), both from 0; layer -1 is the last."""

Token = Literal["cls", "registers"] | tuple[int, int]
"""The class token, the other tokens in front of the patches, or a patch as (row, column)."""


def by_layer(rec: Recording, heads: Iterable[Head]) -> dict[int, list[int]]:
    """The heads of each layer that has some.

    Raises:
        VitvizError: if the model has no such layer or head.
    """
    found: dict[int, list[int]] = {}
    for given, head in heads:
        check_layer(given, rec.num_layers)
        layer = given % rec.num_layers
        if not 0 <= head < rec.num_heads(layer):
            raise VitvizError(
                "no_such_head",
                "There is no head {head} in layer {layer} of {model}.",
                head=head,
                layer=layer,
                model=rec.vit.name,
            )
        found.setdefault(layer, []).append(head)
    return found


def chosen_heads(rec: Recording, layer: int, heads: Collection[int]) -> Tensor:
    """Which heads of a layer are among these: boolean (1, heads, 1, 1)."""
    chosen = torch.zeros(1, rec.num_heads(layer), 1, 1, dtype=torch.bool)
    chosen[:, list(heads)] = True
    return chosen


def chosen_tokens(rec: Recording, tokens: Iterable[Token]) -> Tensor:
    """Which tokens are among these: boolean (tokens,).

    Raises:
        VitvizError: if there is no such token.
    """
    chosen = torch.zeros(rec.num_tokens, dtype=torch.bool)
    prefix = rec.num_prefix_tokens
    for token in tokens:
        if isinstance(token, str):
            named = slice(0, 1) if is_cls(token) else slice(int(rec.has_class_token), prefix)
            exists = rec.has_class_token if is_cls(token) else token == "registers"
            if not exists or named.start == named.stop:
                raise VitvizError(
                    "no_such_token",
                    "{model} has no token “{token}”; choose “cls”, “registers” or a patch as "
                    "(row, column), where there is one.",
                    model=rec.vit.name,
                    token=token,
                )
            chosen[named] = True
        else:
            chosen[rec.token(token)] = True
    return chosen


def whole_map(rec: Recording, layer: int, title: str | Phrase) -> int:
    """The number of a layer, counted from 0, whose one map is of all tokens in their order.

    Raises:
        VitvizError: if there is no such layer.
        MethodError: if its tokens look in windows, at shared keys, or by channels.
    """
    check_layer(layer, rec.num_layers)
    layer %= rec.num_layers
    if rec.layouts:
        layout = rec.layouts[layer]
        order = torch.arange(rec.num_tokens)
        whole = layout.kind == "global" and layout.grid == rec.grid
        if not (whole and all(torch.equal(x, order) for x in (layout.queries, layout.keys))):
            raise MethodError(
                "edit_needs_one_map",
                "Layer {layer} of {model} does not have one map over all tokens, as {title} needs "
                "it; choose a layer that has, or a plain Vision Transformer.",
                layer=layer,
                model=rec.vit.name,
                title=title,
            )
    return layer
