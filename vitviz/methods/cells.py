"""Squares of patches that are hidden together."""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.recording.recording import Recording

__all__ = ["cells_of", "unit"]

ACROSS = 14  # units across the photo, as many as a ViT has patches of 16 pixels


def unit(rec: Recording) -> int:
    """Patches to a side of what is hidden at least: one, or, in a model whose patches shrink to
    larger ones in later layers, 1/14 of the photo."""
    return 1 if not rec.layouts else max(1, min(rec.grid) // ACROSS)


def cells_of(rec: Recording, side: int) -> Tensor:
    """The number of the cell that each patch lies in, (rows, cols): squares of `side` × `side`
    units from the top left, cut off at the far edges."""
    rows, cols = (torch.arange(length) // (side * unit(rec)) for length in rec.grid)
    return rows[:, None] * (cols[-1] + 1) + cols
