"""State-space models: a few numbers are carried from token to token, instead of looking back.

Gu et al. 2021, S4, arXiv 2111.00396: hₜ = a hₜ₋₁ + b xₜ and yₜ = c hₜ, which is a convolution with
the kernel c aʲ b. Gu & Dao 2023, Mamba, arXiv 2312.00752, lets the numbers depend on the token. On
photos the patches are scanned in both directions (Zhu et al. 2024, Vision Mamba, arXiv 2401.09417),
or row by row and column by column too (Liu et al. 2024, VMamba, arXiv 2401.10166).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vitviz.errors import VitvizError
from vitviz.recording.query import check_patch

__all__ = ["SCANS", "Scan", "by_kernel", "reach", "scanned"]

Scan = Literal["one", "two", "four"]
SCANS: tuple[Scan, ...] = ("one", "two", "four")


def scanned(inputs: Tensor, decay: float) -> Tensor:
    """yₜ = hₜ = decay · hₜ₋₁ + (1 − decay) · xₜ from h = 0, one token after the other: (tokens,).

    Raises:
        VitvizError: if the decay is not from 0 to below 1.
    """
    _check(decay)
    state, found = inputs.new_zeros(()), []
    for value in inputs:
        state = decay * state + (1 - decay) * value
        found.append(state)
    return torch.stack(found)


def by_kernel(inputs: Tensor, decay: float) -> Tensor:
    """The same as a sum over all tokens before, yₜ = Σⱼ (1 − decay) decayʲ xₜ₋ⱼ: (tokens,).

    Raises:
        VitvizError: as `scanned`.
    """
    _check(decay)
    back = torch.arange(len(inputs))[:, None] - torch.arange(len(inputs))
    kernel = (1 - decay) * decay ** back.clamp(min=0).to(inputs.dtype)
    return torch.where(back >= 0, kernel, 0.0) @ inputs


def reach(grid: tuple[int, int], patch: tuple[int, int], decay: float, scan: Scan) -> Tensor:
    """How much of each patch is left in the state when a patch is reached, (rows, cols): decay to
    the power of the steps between them, 1 for the patch itself, 0 for what comes later.

    Args:
        grid: (rows, cols).
        patch: (row, col), the one that reads the state.
        decay: what is left of a state after a step.
        scan: “one”, row by row from the top left; “two”, from the bottom right too; “four”, column
            by column too. Of several scans the largest counts.

    Raises:
        VitvizError: if there is no such patch, or as `scanned`.
    """
    _check(decay)
    check_patch(patch, grid)
    rows, cols = (torch.arange(side, dtype=torch.float64) for side in grid)
    by_rows = rows[:, None] * grid[1] + cols
    by_columns = cols * grid[0] + rows[:, None]
    found = []
    for order in (by_rows,) if scan != "four" else (by_rows, by_columns):
        steps = order[patch] - order
        seen = torch.ones_like(steps, dtype=torch.bool) if scan != "one" else steps >= 0
        found.append(torch.where(seen, decay ** steps.abs(), 0.0))
    return torch.stack(found).amax(dim=0)


def _check(decay: float) -> None:
    if not 0 <= decay < 1:
        raise VitvizError(
            "decay_out_of_range", "The decay is from 0 to below 1, not {decay}.", decay=decay
        )
