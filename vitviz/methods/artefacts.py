"""Artefact tokens: patches that a model uses as scratch space instead of describing the photo.

Darcet et al. 2024, "Vision transformers need registers", arXiv 2309.16588: in large or long
trained models a few patches of plain background end with far longer vectors than the others, hold
global instead of local information, and absorb attention.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import MethodError, Phrase
from vitviz.recording.query import sum_rows
from vitviz.recording.recording import Recording

__all__ = ["artefact_patches", "attention_received", "outlying"]

DEVIATIONS = 6.0  # robust standard deviations above the median
SMALLEST_DEVIATION = 0.05  # of the median: patches of a plain photo differ by rounding alone
ABSORBED = 10.0  # times an equal share of the attention


@checked
def artefact_patches(rec: Recording) -> Tensor:
    """Which patches are artefacts: boolean (rows, cols).

    A patch is one if its vector after the last block is outlyingly long, see `outlying`; or if it
    absorbs attention, receiving more than 10 times an equal share in some layer. The authors put
    the first threshold where one model's histogram of lengths has its gap; the rule here is theirs
    with a gap that is found for any model. The second rule is ours, for what absorbs attention
    without being long at the end: one such patch in one layer is enough to dominate rollout.

    Raises:
        MethodError: if the model does not say which its blocks are.

    Examples:
        >>> artefact_patches(rec).shape
        torch.Size([16, 16])
    """
    rec.require_plain(Phrase("artefact_search", "the search for artefact tokens"))
    if rec.norms is None:
        raise MethodError(
            "artefacts_unknown",
            "{model} does not say which its blocks are, so artefact tokens cannot be "
            "told; keep them.",
            model=rec.vit.name,
        )
    lengths = rec.patches(rec.norms)

    def find() -> Tensor:
        received = [rec.patches(attention_received(rec, i)) for i in range(rec.num_layers)]
        return outlying(lengths) | (torch.stack(received) > ABSORBED).any(dim=0)

    return rec.derived.get("artefacts", find)


def outlying(lengths: Tensor) -> Tensor:
    """Which lengths are more than 6 robust standard deviations above the median, as booleans.

    The deviation is 1.4826 × the median distance from the median (a normal distribution's standard
    deviation), but at least 5 % of the median.
    """
    median = lengths.median()
    deviation = 1.4826 * (lengths - median).abs().median()
    return lengths > median + DEVIATIONS * torch.maximum(deviation, SMALLEST_DEVIATION * median)


@checked
def attention_received(rec: Recording, layer: int) -> Tensor:
    """Attention each token gets from the others in a layer: (tokens,); 1 is an equal share.

    Mean over heads and over the tokens that look, each leaving itself out.
    """

    def from_others(rows: slice) -> Tensor:
        attention = rec.attention_rows(layer, rows).mean(dim=0)
        attention.diagonal(rows.start).zero_()
        return attention

    return sum_rows(torch.ones(rec.num_tokens, dtype=torch.float32), from_others)
