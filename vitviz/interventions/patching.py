"""What another recording computed, put in the place of what this one does.

Vig et al. 2020, arXiv 2004.12265; Meng et al. 2022, arXiv 2202.05262.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import Phrase
from vitviz.interventions.addresses import (
    Head,
    Token,
    by_layer,
    chosen_heads,
    chosen_tokens,
    whole_map,
)
from vitviz.interventions.maps import values_of, with_map
from vitviz.interventions.sources import blocks_of, fits, other_model, said, states
from vitviz.recording.changes import CallChange, OutputChange
from vitviz.recording.layout import Call
from vitviz.recording.query import as_query, check_layer
from vitviz.recording.recording import Recording

__all__ = ["PatchHeads", "PatchTokens", "patch_heads", "patch_tokens"]

TITLE = Phrase("patch_heads", "patching its heads")


@dataclass(frozen=True, eq=False)
class PatchTokens:
    """What `patch_tokens` declares."""

    source: Recording
    layer: int
    tokens: tuple[Token, ...] | None

    def __str__(self) -> str:
        tokens = None if self.tokens is None else list(self.tokens)
        return f"patch_tokens({said(self.source)}, {self.layer}, tokens={tokens})"

    def changes(self, rec: Recording) -> list[OutputChange]:
        """As `Edit`."""
        check_layer(self.layer, rec.num_layers)
        fits(rec, self.source)
        own, others = states(rec)[self.layer], states(self.source)
        if len(others) != rec.num_layers or others[self.layer].shape != own.shape:
            raise other_model(rec, self.source)
        theirs = others[self.layer].to(own.dtype)
        chosen = torch.ones(rec.num_tokens, dtype=torch.bool)
        if self.tokens is not None:
            chosen = chosen_tokens(rec, self.tokens)
        if not chosen.any():
            return []

        def change(output: Tensor) -> Tensor:
            return torch.where(chosen[:, None], theirs, output)

        return [OutputChange(blocks_of(rec)[self.layer], change)]


@checked
def patch_tokens(
    source: Recording, layer: int, tokens: Sequence[Token] | None = None
) -> PatchTokens:
    """Some tokens are, after a block, what they are there in another recording (activation
    patching); for the `edits` of `record`.

    What is put in is the residual stream after the block, a vector for each token, as the other
    recording has it, with its own edits. A recording of the same photo changes nothing, to the last
    bit. One more forward pass of the other recording, whose result is kept with it, and one of this
    one.

    Args:
        source: of the same model and size, such as of another photo.
        layer: of the block, from 0; negative ones count from the last.
        tokens: “cls”, “registers” (all other tokens in front of the patches) or patches as (row,
            column); None for all tokens.

    Raises:
        VitvizError: for arguments of another kind; where it is recorded, if the other recording has
            other tokens or is of another model, there is no such layer or token, or the model's
            layers are no blocks that hand on all tokens.

    Examples:
        >>> other = record(vit, samples()[1].path)
        >>> all_of_it = record(vit, photo, edits=[patch_tokens(other, 11)])
        >>> all_of_it.logits.equal(other.logits)
        True
        >>> mixed = record(vit, photo, edits=[patch_tokens(other, 6, ["cls", (3, 4)])])
    """
    listed = None if tokens is None else tuple(map(as_query, tokens))
    return PatchTokens(source, layer, listed)


@dataclass(frozen=True, eq=False)
class PatchHeads:
    """What `patch_heads` declares."""

    source: Recording
    heads: tuple[Head, ...]

    def __str__(self) -> str:
        return f"patch_heads({said(self.source)}, {list(self.heads)})"

    def changes(self, rec: Recording) -> list[CallChange]:
        """As `Edit`."""
        fits(rec, self.source)
        found = []
        for layer, heads in by_layer(rec, self.heads).items():
            for each in (rec, self.source):
                whole_map(each, layer, TITLE)
            own, other = rec.layers[layer], self.source.layers[layer]
            if values_of(own).shape != values_of(other).shape:
                raise other_model(rec, self.source)
            found.append(_patched(own.module, chosen_heads(rec, layer, heads), other))
        return found


@checked
def patch_heads(source: Recording, heads: Sequence[Head]) -> PatchHeads:
    """Some heads give what they give in another recording; for the `edits` of `record`.

    A head's result is its attention @ values, for each token, before the heads are joined. Both are
    taken from the other recording, as it has them with its own edits. One of the same photo changes
    nothing, to the last bit.

    Args:
        source: of the same model and size, such as of another photo.
        heads: as (layer, head), both from 0; none changes nothing.

    Raises:
        VitvizError: for arguments of another kind; where it is recorded, if the other recording has
            other tokens or is of another model, there is no such head, or its tokens look in
            windows.

    Examples:
        >>> other = record(vit, samples()[1].path)
        >>> mixed = record(vit, photo, edits=[patch_heads(other, [(6, 0)])])
        >>> mixed.attention(6)[0].equal(other.attention(6)[0])
        True
    """
    return PatchHeads(source, tuple((int(layer), int(head)) for layer, head in heads))


def _patched(module: str, heads: Tensor, source: Call) -> CallChange:
    def change(call: Call, result: Tensor) -> tuple[Call, Tensor]:
        weights, value = source.rows(slice(None)), values_of(source).to(result.dtype)
        return with_map(call, result, heads, weights, value)

    return CallChange(module, change)
