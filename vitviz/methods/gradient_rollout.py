"""Rollout of the attention that speaks for a class."""

from __future__ import annotations

from torch import Tensor

from vitviz.methods.gradients import (
    Score,
    gradients,
    gradients_of_many,
    positive_part,
    weighted,
)
from vitviz.methods.method import (
    CLASSIFIERS,
    ChoiceOption,
    Method,
)
from vitviz.methods.rollout import DISCARD, RESIDUAL, START, discard_smallest, flow
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "gradient_rollout"]


def gradient_rollout(
    rec: Recording,
    query: Query,
    score: Score,
    *,
    clamped: str,
    discard: float,
    start: int,
    residual: float,
) -> Tensor:
    """Rollout of the heads' mean of (A ⊙ ∂s/∂A)⁺ instead of A: (tokens,), sums to 1.

    Gildenblat 2020, github.com/jacobgil/vit-explain. The author averages the heads before negative
    parts are cut, as `clamped="mean"` does: heads that speak against the class then cancel others.
    The default cuts each head's, as `relevance` does with the same products. Two things in the
    author's code are not followed: it discards over the whole map instead of in each row, and what
    its rows are divided by stands in the columns' places.

    Args:
        rec: from `record`.
        query: the token that information reaches: "cls", or a patch as (row, col).
        score: the class's logit, or how far it is above another's.
        clamped: what is cut at 0: each of the "heads", or their "mean".
        discard, start, residual: as in `rollout`.

    Raises:
        VitvizError: if there is no such patch.
        MethodError: if no gradient leads from classes to attention, as with weights in int8.

    Examples:
        >>> score = Score(rec.predictions[0].index)
        >>> row = gradient_rollout(
        ...     rec, "cls", score, clamped="heads", discard=0.0, start=0, residual=0.5
        ... )
        >>> row.shape
        torch.Size([257])
    """
    grads = gradients(rec, score)

    def mixing(layer: int, rows: slice) -> Tensor:
        if clamped == "heads":
            positive = positive_part(rec, grads, layer, rows)
        else:
            positive = weighted(rec, grads, layer, rows).mean(dim=0).clamp(min=0)
        return discard_smallest(positive, rows, discard, rec.num_prefix_tokens)

    return flow(rec, rec.score_weights(query), mixing, start=start, residual=residual)


METHOD = Method(
    "gradient_rollout",
    5,
    "Gradient rollout",
    "From which patches does information for this class flow, through all layers?",
    gradient_rollout,
    "Gildenblat 2020, github.com/jacobgil/vit-explain",
    {
        "clamped": ChoiceOption("Clamped at 0", "heads", ("heads", "mean")),
        "discard": DISCARD,
        "start": START,
        "residual": RESIDUAL,
    },
    needs_gradient=True,
    class_specific=True,
    applies_to=CLASSIFIERS,
    of_many=gradients_of_many,
)
