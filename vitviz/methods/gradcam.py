"""Grad-CAM on the tokens that enter the last block's attention."""

from __future__ import annotations

from torch import Tensor

from vitviz.methods.gradients import Score, last_input, last_inputs_of_many
from vitviz.methods.method import (
    CLASSIFIERS,
    Method,
)
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "gradcam"]


def gradcam(rec: Recording, score: Score) -> Tensor:
    """(Σ_c w_c x_c)⁺, where w is the patches' mean of ∂s/∂x: (tokens,).

    x, (tokens, width), enters the last block's attention: its input norm's output. The outputs of
    the last block would not do, since those of the patches have no gradient where only the class
    token is classified. Selvaraju et al. 2017, arXiv 1610.02391.

    Args:
        rec: from `record`.
        score: the class's logit, or how far it is above another's.

    Raises:
        MethodError: if no gradient leads from classes to attention, as with weights in int8.

    Examples:
        >>> gradcam(rec, Score(rec.predictions[0].index)).shape
        torch.Size([257])
    """
    last = last_input(rec, score)
    weights = last.gradient[rec.num_prefix_tokens :].mean(dim=0)
    return (last.tokens @ weights).clamp(min=0)


METHOD = Method(
    "gradcam",
    9,
    "Grad-CAM",
    "Which patches hold the features that speak for this class?",
    gradcam,
    "Selvaraju et al. 2017, arXiv 1610.02391",
    needs_gradient=True,
    class_specific=True,
    contrastive=True,
    has_query=False,
    applies_to=CLASSIFIERS,
    of_many=last_inputs_of_many,
)
