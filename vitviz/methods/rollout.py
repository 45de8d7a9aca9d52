"""Attention rollout: how information flows to the query through all layers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import torch
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.methods.artefacts import artefact_patches, attention_sinks
from vitviz.methods.grids import flow_through_grids
from vitviz.methods.method import (
    ChoiceOption,
    LayerOption,
    Method,
    NumberOption,
)
from vitviz.recording.query import Query, sum_rows
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "flow", "rollout", "rollout_through"]

DISCARD = NumberOption("Discard ratio", 0.0, 0.0, 0.95)
RESIDUAL = NumberOption("Residual weight", 0.5, 0.0, 0.95)
START = LayerOption("First layer", 0)
ARTEFACTS = ChoiceOption("Artefact tokens and sinks", "keep", ("keep", "mask"))

FUSIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda heads: heads.mean(dim=0),
    "max": lambda heads: heads.amax(dim=0),
    "min": lambda heads: heads.amin(dim=0),
}


def rollout(
    rec: Recording,
    query: Query,
    *,
    fusion: str,
    discard: float,
    artefacts: str,
    start: int,
    residual: float,
) -> Tensor:
    """Row `query` of Ã_L … Ã_start with Ã = n((1−w) · fuse(A) + w · I): (tokens,), sums to 1.

    Abnar & Zuidema 2020, arXiv 2005.00928. Where layers have windows, shared keys or grids of their
    own, see `flow_through_grids`.

    Args:
        rec: from `record`.
        query: the token that information reaches: "cls", or a patch as (row, col).
        fusion: of the heads: "mean", "max" or "min".
        discard: the share of each row's patch entries (rounded down) that is dropped, the smallest
            ones, before the identity is added; prefix columns and the row's own diagonal stay.
        artefacts: "keep" or "mask": masked, nothing flows from the patches that `artefact_patches`
            and `attention_sinks` find; their columns are zero before the identity is added.
        start: the first layer.
        residual: w, 0.5 in the paper.

    Raises:
        VitvizError: if there is no such patch.
        MethodError: if artefacts are to be masked, and the model does not say which its blocks are;
            if layers do not follow each other; of layers with grids of their own, if some are left
            out or their grids do not merge, or entries are to be dropped or masked.

    Examples:
        >>> row = rollout(
        ...     rec, "cls", fusion="mean", discard=0.0, artefacts="keep", start=0, residual=0.5
        ... )
        >>> row.shape, round(float(row.sum()), 3)
        (torch.Size([257]), 1.0)
    """
    if rec.layouts:
        if discard or artefacts == "mask":
            raise MethodError(
                "grids_keep_all",
                "{model} has layers with windows or grids of their own, in which rollout leaves "
                "nothing out; leave the discard ratio at 0 and keep artefact tokens.",
                model=rec.vit.name,
            )
        return flow_through_grids(rec, query, FUSIONS[fusion], start=start, residual=residual)
    rec.require_plain(METHOD.title)
    passing = torch.ones(rec.num_tokens, dtype=torch.float32)
    if artefacts == "mask":
        found = artefact_patches(rec) | attention_sinks(rec)
        passing[rec.num_prefix_tokens :].masked_fill_(found.flatten(), 0.0)

    def mixing(layer: int, rows: slice) -> Tensor:
        fused = passing * FUSIONS[fusion](rec.attention_rows(layer, rows))
        return discard_smallest(fused, rows, discard, rec.num_prefix_tokens)

    return flow(rec, rec.query_weights(query), mixing, start=start, residual=residual)


def rollout_through(rec: Recording, query: Query, layers: int) -> Tensor:
    """Rollout through the first `layers` layers only, with the mean of the heads and a residual
    weight of one half: (tokens,), sums to 1. Through none, all of it is where it started."""

    def mixing(layer: int, rows: slice) -> Tensor:
        return rec.attention_rows(layer, rows).mean(dim=0)

    return flow(rec, rec.query_weights(query), mixing, start=0, stop=layers, residual=0.5)


def flow(
    rec: Recording,
    weights: Tensor,
    mixing: Callable[[int, slice], Tensor],
    *,
    start: int,
    stop: int | None = None,
    residual: float,
) -> Tensor:
    """A query's `weights` carried down from the last layer, or the one before `stop`, to layer
    `start`: (tokens,), sums to 1.

    `mixing` gives rows of a layer's token-to-token weights, (rows, tokens). The product is a row
    vector times one matrix after another, from the left, and each matrix exists a few rows at a
    time: no two (tokens × tokens) matrices are ever multiplied.
    """
    for layer in reversed(range(rec.num_layers)[start:stop]):

        def rows_with_residual(rows: slice, layer: int = layer) -> Tensor:
            return add_identity(mixing(layer, rows), rows, residual)

        weights = sum_rows(weights, rows_with_residual)
    return weights


def add_identity(matrix: Tensor, rows: slice, weight: float) -> Tensor:
    """These rows of n((1−w) · matrix + w · I), where n divides each row by its sum."""
    mixed = (1 - weight) * matrix
    mixed.diagonal(rows.start or 0).add_(weight)
    empty = mixed.sum(dim=-1) == 0  # min of heads that share nothing: the token keeps to itself
    mixed.diagonal(rows.start or 0).masked_fill_(empty, 1.0)
    return mixed / mixed.sum(dim=-1, keepdim=True)


def discard_smallest(matrix: Tensor, rows: slice, ratio: float, prefix: int) -> Tensor:
    """Zero the smallest patch entries of each row, ⌊ratio · patches⌋ of them, never the diagonal.

    The product is that of the ratio as written: 0.29 of 100 is 29, where floats give 28.99….
    """
    dropped = int(Decimal(str(ratio)) * (matrix.shape[-1] - prefix))
    if dropped == 0:
        return matrix
    candidates = matrix.clone()
    candidates[:, :prefix] = torch.inf
    candidates.diagonal(rows.start or 0).fill_(torch.inf)
    smallest = candidates.topk(dropped, dim=-1, largest=False).indices
    return matrix.scatter(-1, smallest, 0.0)


METHOD = Method(
    "rollout",
    3,
    "Attention rollout",
    "From which patches does information reach the query, through all layers?",
    rollout,
    "Abnar & Zuidema 2020, arXiv 2005.00928",
    {
        "fusion": ChoiceOption("Heads fused by", "mean", ("mean", "max", "min")),
        "discard": DISCARD,
        "artefacts": ARTEFACTS,
        "start": START,
        "residual": RESIDUAL,
    },
    plain_only=False,
)
