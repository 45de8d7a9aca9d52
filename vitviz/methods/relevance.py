"""Relevance: a class's gradients on the attention of every layer."""

from __future__ import annotations

from torch import Tensor

from vitviz.methods.gradients import Scored, gradients, gradients_of_many, positive_part
from vitviz.methods.method import CLASSIFIERS, Method
from vitviz.recording.query import Query, sum_rows
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "relevance"]


def relevance(rec: Recording, query: Query, score: Scored) -> Tensor:
    """Row `query` of R after R ← R + E_h[(∂s/∂A ⊙ A)⁺] R, layer by layer from R = I: (tokens,).

    The row is carried down from the last layer, so that no two (tokens × tokens) matrices are ever
    multiplied. Chefer, Gur & Wolf 2021, arXiv 2103.15679.

    Args:
        rec: from `record`.
        query: the token whose row it is: "cls", or a patch as (row, col).
        score: the class's logit, or how far it is above another's.

    Raises:
        VitvizError: if there is no such patch.
        MethodError: if no gradient leads from classes to attention, as with weights in int8.

    Examples:
        >>> from vitviz.methods.gradients import Score
        >>> relevance(rec, "cls", Score(rec.predictions[0].index)).shape
        torch.Size([257])
    """
    grads = gradients(rec, score)
    row = rec.score_weights(query)
    for layer in reversed(range(rec.num_layers)):

        def rows_of(rows: slice, layer: int = layer) -> Tensor:
            return positive_part(rec, grads, layer, rows)

        row = row + sum_rows(row, rows_of)
    return row


METHOD = Method(
    "relevance",
    6,
    "Relevance",
    "Which patches raised this class's score?",
    relevance,
    "Chefer, Gur & Wolf 2021, arXiv 2103.15679",
    needs_gradient=True,
    class_specific=True,
    contrastive=True,
    applies_to=CLASSIFIERS,
    of_many=gradients_of_many,
)
