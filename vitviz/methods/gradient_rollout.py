"""Rollout of the attention that speaks for a class."""

from __future__ import annotations

from torch import Tensor

from vitviz.methods.gradients import (
    Score,
    gradients,
    gradients_of_many,
    positive_part,
)
from vitviz.methods.method import (
    CLASSIFIERS,
    Method,
)
from vitviz.methods.rollout import DISCARD, RESIDUAL, START, discard_smallest, flow
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "gradient_rollout"]


def gradient_rollout(
    rec: Recording, query: Query, score: Score, *, discard: float, start: int, residual: float
) -> Tensor:
    """Rollout of the heads' mean of (A ⊙ ∂s/∂A)⁺ instead of A: (tokens,), sums to 1.

    Gildenblat 2020, github.com/jacobgil/vit-explain.

    Args:
        rec: from `record`.
        query: the token that information reaches: "cls", or a patch as (row, col).
        score: the class's logit, or how far it is above another's.
        discard, start, residual: as in `rollout`.

    Raises:
        VitvizError: if there is no such patch.
        MethodError: if no gradient leads from classes to attention, as with weights in int8.

    Examples:
        >>> score = Score(rec.predictions[0].index)
        >>> gradient_rollout(rec, "cls", score, discard=0.0, start=0, residual=0.5).shape
        torch.Size([257])
    """
    grads = gradients(rec, score)

    def mixing(layer: int, rows: slice) -> Tensor:
        weighted = positive_part(rec, grads, layer, rows)
        return discard_smallest(weighted, rows, discard, rec.num_prefix_tokens)

    return flow(rec, rec.score_weights(query), mixing, start=start, residual=residual)


METHOD = Method(
    "gradient_rollout",
    5,
    "Gradient rollout",
    "From which patches does information for this class flow, through all layers?",
    gradient_rollout,
    "Gildenblat 2020, github.com/jacobgil/vit-explain",
    {"discard": DISCARD, "start": START, "residual": RESIDUAL},
    needs_gradient=True,
    class_specific=True,
    applies_to=CLASSIFIERS,
    of_many=gradients_of_many,
)
