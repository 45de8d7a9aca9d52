"""Grad-CAM on the tokens that enter a layer's attention."""

from __future__ import annotations

from torch import Tensor

from vitviz.methods.gradients import Score, layer_input, layer_inputs_of_many
from vitviz.methods.method import (
    CLASSIFIERS,
    LayerOption,
    Method,
)
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "gradcam"]


def gradcam(rec: Recording, score: Score, *, layer: int) -> Tensor:
    """(Σ_c w_c x_c)⁺, where w is the patches' mean of ∂s/∂x: (tokens,), those of the layer.

    x, (tokens, width), enters the layer's attention: its input norm's output. The outputs of the
    last block would not do, since those of the patches have no gradient where only the class token
    is classified. Where windows are cut, x is what they are cut from, and the map is on the layer's
    own grid. Selvaraju et al. 2017, arXiv 1610.02391.

    Args:
        rec: from `record`.
        score: the class's logit, or how far it is above another's.
        layer: from 0.

    Raises:
        MethodError: if no gradient leads from classes to attention, as with weights in int8, or
            nothing in front of the layer's attention holds one vector a patch.

    Examples:
        >>> gradcam(rec, Score(rec.predictions[0].index), layer=11).shape
        torch.Size([257])
    """
    entered = layer_input(rec, score, layer)
    prefix = rec.layouts[layer].prefix if rec.layouts else rec.num_prefix_tokens
    return (entered.tokens @ entered.gradient[prefix:].mean(dim=0)).clamp(min=0)


METHOD = Method(
    "gradcam",
    9,
    "Grad-CAM",
    "Which patches hold the features that speak for this class?",
    gradcam,
    "Selvaraju et al. 2017, arXiv 1610.02391",
    {"layer": LayerOption("Layer", -1)},
    needs_gradient=True,
    class_specific=True,
    contrastive=True,
    has_query=False,
    applies_to=CLASSIFIERS,
    plain_only=False,
    of_many=layer_inputs_of_many,
)
