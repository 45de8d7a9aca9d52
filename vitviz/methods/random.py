"""The honest baseline: what a map that knows nothing scores."""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.methods.method import (
    Method,
    WholeOption,
)
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "random"]


def random(rec: Recording, *, seed: int) -> Tensor:
    """Independent values between 0 and 1, the same for the same seed: (tokens,).

    An explanation that is not better than this explains nothing; Adebayo et al. 2018,
    arXiv 1810.03292.

    Args:
        rec: from `record`.
        seed: of the random numbers, from 0.

    Examples:
        >>> random(rec, seed=0).shape
        torch.Size([257])
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rec.num_tokens, generator=generator, dtype=torch.float32)


METHOD = Method(
    "random",
    16,
    "Random",
    "How good is a map that knows nothing?",
    random,
    "Baseline, see Adebayo et al. 2018, arXiv 1810.03292",
    {"seed": WholeOption("Seed", 0, 0, 9999)},
    has_query=False,
    baseline=True,
    plain_only=False,
)
