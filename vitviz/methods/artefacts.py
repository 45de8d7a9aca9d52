"""Two things that spoil attention maps: artefact tokens, and attention sinks.

Artefact tokens are patches that a model uses as scratch space instead of describing the photo.
Darcet et al. 2024, "Vision transformers need registers", arXiv 2309.16588: in large models that
were trained for long, a few patches of plain background end with far longer vectors than the
others, and hold global instead of local information.

An attention sink is a token that gets far more than its share of the attention, whatever it shows
(Xiao et al. 2024, "Efficient streaming language models with attention sinks", arXiv 2309.17453).
Artefact tokens are often sinks as well; a sink need not be one, also in a small model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import MethodError, Phrase
from vitviz.recording.query import sum_rows
from vitviz.recording.recording import Recording

__all__ = ["artefact_patches", "attention_received", "attention_sinks", "outlying"]

DEVIATIONS = 6.0  # robust standard deviations above the median
LEAST = 2.0  # times the median: patches of a plain photo differ by little, and none is an artefact
ABSORBED = 10.0  # times an equal share of the attention


@checked
def artefact_patches(rec: Recording) -> Tensor:
    """Which patches are artefact tokens: boolean (rows, cols).

    A patch is one if its vector after the last block is outlyingly long, see `outlying`. The
    authors put the threshold where one model's histogram of lengths has its gap; the rule here is
    theirs with a gap that is found for any model. What absorbs attention without being long is
    another thing, see `attention_sinks`.

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
    return outlying(rec.patches(rec.norms))


def outlying(lengths: Tensor) -> Tensor:
    """Which lengths are more than 6 robust standard deviations above the median, and more than
    twice the median, as booleans.

    The deviation is 1.4826 × the median distance from the median (a normal distribution's standard
    deviation).
    """
    median = lengths.median()
    deviation = 1.4826 * (lengths - median).abs().median()
    return lengths > torch.maximum(median + DEVIATIONS * deviation, LEAST * median)


@checked
def attention_sinks(rec: Recording) -> Tensor:
    """Which patches are attention sinks: boolean (rows, cols).

    A patch is one if it receives more than 10 times an equal share of the attention in some layer,
    see `attention_received`. The threshold is ours: one such patch in one layer is enough to
    dominate rollout.

    Raises:
        MethodError: if the model does not have one map over all tokens in each layer.

    Examples:
        >>> attention_sinks(rec).shape
        torch.Size([16, 16])
    """
    rec.require_plain(Phrase("sink_search", "the search for attention sinks"))

    def find() -> Tensor:
        received = [rec.patches(attention_received(rec, i)) for i in range(rec.num_layers)]
        return (torch.stack(received) > ABSORBED).any(dim=0)

    return rec.derived.get("sinks", find)


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
