"""A mask from a few clicks: a linear classifier on the vectors of a photo's patches.

A linear layer on frozen tokens is how the tokens of self-supervised models are judged as segmenters
(Oquab et al. 2023, DINOv2, arXiv 2304.07193); here its examples are the clicked patches. It is a
ridge regression (Hoerl & Kennard 1970), which has a solution in one step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.errors import VitvizError
from vitviz.recording.query import check_patch

__all__ = ["clicked_scores"]

PENALTY = 0.1
Patch = tuple[int, int]


def clicked_scores(features: Tensor, thing: Sequence[Patch], background: Sequence[Patch]) -> Tensor:
    """How much each patch is like the thing, and not like the background: (rows, cols), above 0 for
    the thing.

    The w that minimises Σ (w·x − y)² + 0.1 |w|² over the clicked patches, y = 1 for the thing and
    −1 for the background; x is a patch's vector at length 1, minus the mean of the photo's.

    Args:
        features: (rows, cols, width).
        thing, background: clicked patches, as (row, col); at least one of each.

    Raises:
        VitvizError: if one of the two is missing, or there is no such patch.
    """
    if not thing or not background:
        raise VitvizError(
            "clicks_missing", "Click at least one patch of the thing and one of the background."
        )
    grid = (features.shape[0], features.shape[1])
    for patch in (*thing, *background):
        check_patch(patch, grid)
    unit = F.normalize(features.double(), dim=-1)
    vectors = unit - unit.mean(dim=(0, 1))
    x = torch.stack([vectors[patch] for patch in (*thing, *background)])
    y = torch.tensor([1.0] * len(thing) + [-1.0] * len(background), dtype=torch.float64)
    weights = x.T @ torch.linalg.solve(x @ x.T + PENALTY * torch.eye(len(x)).double(), y)
    return (vectors @ weights).float()
