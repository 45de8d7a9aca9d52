"""Where the queries and keys of an attention call lie among the tokens of the photo.

A plain ViT has one map over all tokens in each layer. Other families cut the tokens into windows,
pool the keys, or let only the class token ask. What they do is not looked up: the model is asked,
see `find` and `places`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vitviz.models.libraries import Grid
from vitviz.recording.calls import AttentionCall, SoftmaxCall

__all__ = ["Call", "Kind", "Layout", "grid_of"]

Call = AttentionCall | SoftmaxCall
Kind = Literal["global", "windowed", "pooled keys", "class attention", "channel"]

NOWHERE = -1


@dataclass(frozen=True, eq=False)
class Layout:
    """Where one layer's queries and keys lie.

    A call has one map for each item of its batch, here called a window; its slots are numbered
    through all windows.

    Attributes:
        kind: "global": every token looks at every token; "windowed": at those of its window;
            "pooled keys": several tokens share a key, or keys overlap and each is made from the
            tokens around its place; "class attention": only the class token looks; "channel":
            channels look at channels, tokens do not.
        grid: (rows, cols) of the patches that the layer reads.
        prefix: tokens in front of the patches.
        queries: for each token the slot that asks for it, (tokens,); −1 where none does.
        keys: for each token the slot that it is looked at in, (tokens,); −1 where there is none.
    """

    kind: Kind
    grid: Grid
    prefix: int
    queries: Tensor
    keys: Tensor

    def spread(self, call: Call, weights: Tensor) -> Tensor:
        """The weighted sum of the tokens' rows, (heads, tokens), for weights (tokens,).

        A key that several tokens share is shared out among them alike. What goes to padding is at
        no token, so that a row may sum to less than 1.
        """
        windows, heads, queries, keys = call.shape
        asking = (self.queries >= 0) & (weights != 0)
        asked = weights.new_zeros(windows * queries)
        asked.index_add_(0, self.queries[asking], weights[asking])
        looked = weights.new_zeros(windows, heads, keys)
        for window in asked.view(windows, queries).any(dim=1).nonzero().flatten().tolist():
            share = asked.view(windows, queries)[window]
            looked[window] = share @ call.of(window).rows(slice(None))[0]
        by_slot = looked.transpose(0, 1).flatten(1)  # (heads, windows · keys)
        here = self.keys >= 0
        sharing = self.keys[here].bincount(minlength=windows * keys).clamp(min=1)
        result = weights.new_zeros(heads, len(weights))
        result[:, here] = (by_slot / sharing)[:, self.keys[here]]
        return result

    def rows(self, call: Call, rows: slice) -> Tensor:
        """Where these tokens look, (heads, rows, tokens); 0 outside their window."""
        tokens = len(self.queries)
        chosen = torch.eye(tokens, dtype=torch.float32)[rows]
        return torch.stack([self.spread(call, one) for one in chosen], dim=1)


def grid_of(tokens: int, prefixes: Sequence[int], size: Grid) -> tuple[int, Grid] | None:
    """(prefix, grid) so that prefix + rows · cols = tokens and the grid has the input's shape.

    Args:
        tokens: how many there are.
        prefixes: numbers of prefix tokens to try, in order.
        size: (height, width) of the input.
    """
    height, width = size
    for prefix in prefixes:
        rows = round(max(0, (tokens - prefix) * height / width) ** 0.5)
        cols = rows * width // height
        if rows > 1 and rows * cols == tokens - prefix and rows * width == cols * height:
            return prefix, (rows, cols)
    return None
