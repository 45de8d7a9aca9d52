"""Random numbers that models are asked with: the same in each run."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["noise"]


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, float32, that leave the caller's generators alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float32)
