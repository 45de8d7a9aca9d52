"""LeGrad: how each layer's attention would raise a class's score."""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.methods.gradients import Score, attention_gradient, gradients
from vitviz.methods.method import (
    Method,
)
from vitviz.recording.query import ROWS_AT_ONCE
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "legrad"]


def legrad(rec: Recording, score: Score) -> Tensor:
    """Mean over layers l, heads and query tokens of (∂s^l/∂A^l)⁺: (tokens,).

    s^l is the score that the final norm and head give to block l's tokens. Bousselham et al. 2024;
    in models with map pooling, where the authors differentiate the pooling head's map, the layers'
    own maps are used as in all other models.

    Raises:
        MethodError: if the model's score is not its head applied to its normalised last tokens.
    """
    own = gradients(rec, score).own
    if own is None:
        raise MethodError(
            "legrad_inapplicable",
            "LeGrad asks the classifier about every block's tokens, and {model} has no "
            "final norm and head that could be applied to them; use relevance.",
            model=rec.vit.name,
        )
    total = torch.zeros(rec.num_tokens)
    for layer, attended in enumerate(own):
        for start in range(0, rec.num_tokens, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            gradient = attention_gradient(rec, attended, layer, rows)
            total += gradient.clamp_(min=0).mean(dim=0).sum(dim=0)
    return total / (rec.num_layers * rec.num_tokens)


METHOD = Method(
    "legrad",
    8,
    "LeGrad",
    "Which patches would each layer have to look at more to raise this class?",
    legrad,
    "Bousselham et al. 2024, arXiv 2404.03214",
    needs_gradient=True,
    class_specific=True,
    has_query=False,
    applies_to="Models whose classifier is a final norm and a head after the last block.",
)
