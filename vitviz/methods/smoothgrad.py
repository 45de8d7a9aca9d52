"""SmoothGrad: the gradient on the pixels, averaged over noisy copies of the photo."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.interventions.masking import patch_sums
from vitviz.methods.gradients import Score, pixel_gradients
from vitviz.methods.method import CLASSIFIERS, Method, NumberOption, WholeOption
from vitviz.progress import Progress, batches
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "smoothgrad"]


def smoothgrad(
    rec: Recording, score: Score, *, samples: int, noise: float, seed: int, progress: Progress
) -> Tensor:
    """Sum over a patch's pixels and channels of |E[∂s/∂x (x + ε)]|, ε ~ N(0, σ²): (tokens,).

    σ is `noise` times the distance between the photo's smallest and largest number. The sign of a
    pixel's gradient says whether it should be lighter or darker, not whether it speaks for the
    class, so it is left out. Smilkov et al. 2017, arXiv 1706.03825.

    Args:
        rec: from `record`.
        score: the class's logit, or how far it is above another's.
        samples: noisy copies; one without noise is the plain gradient (Simonyan et al. 2013, arXiv
            1312.6034).
        noise: 0.1 to 0.2 in the paper.
        seed: of the noise, from 0.
        progress: called with the finished share after every few copies; what it raises ends the
            computation.

    Raises:
        MethodError: if no gradient leads from classes to pixels, as with weights in int8.

    Examples:
        >>> score, quiet = Score(rec.predictions[0].index), lambda share: None
        >>> smoothgrad(rec, score, samples=1, noise=0.0, seed=0, progress=quiet).shape
        torch.Size([257])
    """
    generator = torch.Generator().manual_seed(seed)
    sigma = noise * (rec.pixels.max() - rec.pixels.min())
    total = torch.zeros_like(rec.pixels)

    def noisy() -> Tensor:
        drawn = torch.randn(rec.pixels.shape, generator=generator, dtype=torch.float32)
        return rec.pixels + sigma * drawn

    for part in batches(samples, rec.num_tokens, progress):
        copies = torch.stack([noisy() for _ in range(part.start, part.stop)])
        total += pixel_gradients(rec, score, copies).sum(dim=0)
    found = patch_sums(rec, (total / samples).abs())
    return F.pad(found, (rec.num_prefix_tokens, 0))


METHOD = Method(
    "smoothgrad",
    12,
    "SmoothGrad",
    "Where would small changes of the pixels change this class’s score most?",
    smoothgrad,
    "Smilkov et al. 2017, arXiv 1706.03825",
    {
        "samples": WholeOption("Samples", 20, 1, 200),
        "noise": NumberOption("Noise", 0.15, 0.0, 1.0),
        "seed": WholeOption("Seed", 0, 0, 9999),
    },
    needs_gradient=True,
    class_specific=True,
    contrastive=True,
    has_query=False,
    slow=True,
    quick={"samples": 1},
    applies_to=CLASSIFIERS,
    plain_only=False,
)
