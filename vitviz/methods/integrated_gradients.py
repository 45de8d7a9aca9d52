"""Integrated gradients: a class's score shared out among the pixels, summed by patch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.interventions.masking import grey, patch_sums
from vitviz.methods.gradients import Score, Scored, pixel_gradients
from vitviz.methods.method import CLASSIFIERS, Method, WholeOption
from vitviz.progress import Progress, batches
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "contributions", "integrated_gradients"]


def integrated_gradients(rec: Recording, score: Score, *, steps: int, progress: Progress) -> Tensor:
    """What each patch's pixels add to the score, on the way from grey to the photo: (tokens,).

    (x − b) ∫₀¹ ∂s/∂x (b + α (x − b)) dα, summed over a patch's pixels and channels, 0 where that is
    negative. b is the model's mean colour, the input that hidden patches have in `occlusion`. The
    integral is a Gauss-Legendre sum; of a score that jumps while the photo is still nearly grey a
    few steps miss much. Sundararajan, Taly & Yan 2017, arXiv 1703.01365.

    Args:
        rec: from `record`.
        score: the class's logit, or how far it is above another's.
        steps: points on the way.
        progress: called with the finished share after every few steps; what it raises ends the
            computation.

    Raises:
        MethodError: if no gradient leads from classes to pixels, as with weights in int8.

    Examples:
        >>> score = Score(rec.predictions[0].index)
        >>> integrated_gradients(rec, score, steps=2, progress=lambda share: None).shape
        torch.Size([257])
    """
    found = contributions(rec, score, steps, progress).clamp(min=0)
    return F.pad(found, (rec.num_prefix_tokens, 0))


def contributions(rec: Recording, score: Scored, steps: int, progress: Progress) -> Tensor:
    """The same with its sign, (patches,): with enough steps it sums to s(photo) − s(grey)."""
    places, shares = np.polynomial.legendre.leggauss(steps)
    alphas, weights = (
        torch.tensor(numbers, dtype=torch.float32) for numbers in ((places + 1) / 2, shares / 2)
    )
    way = rec.pixels - (start := grey(rec))
    total = torch.zeros_like(rec.pixels)
    for part in batches(steps, rec.num_tokens, progress):
        found = pixel_gradients(rec, score, start + alphas[part, None, None, None] * way)
        total += torch.einsum("i,i...->...", weights[part], found)
    return patch_sums(rec, way * total)


METHOD = Method(
    "integrated_gradients",
    11,
    "Integrated gradients",
    "How much of this class’s score do the pixels of each patch add?",
    integrated_gradients,
    "Sundararajan, Taly & Yan 2017, arXiv 1703.01365",
    {"steps": WholeOption("Steps", 50, 2, 400)},
    needs_gradient=True,
    class_specific=True,
    contrastive=True,
    has_query=False,
    slow=True,
    quick={"steps": 2},
    applies_to=CLASSIFIERS,
    plain_only=False,
)
