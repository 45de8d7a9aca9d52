"""The model run again while its tokens look at some of the tokens only.

Windows that are shifted in every other layer: Liu et al. 2021, Swin, arXiv 2103.14030. A place's
neighbours, and tokens that see all and are seen by all: Beltagy et al. 2020, Longformer,
arXiv 2004.05150. Rows and columns: Ho et al. 2019, axial attention, arXiv 1912.12180.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vitviz.interventions.blocks import run_blocks
from vitviz.recording.recording import Recording

__all__ = ["PATTERNS", "Pattern", "kept", "pattern", "with_pattern"]

Pattern = Literal["all", "windows", "neighbours", "axes"]
PATTERNS: tuple[Pattern, ...] = ("all", "windows", "neighbours", "axes")
WINDOW = 4  # patches across
REACH = 2  # patches to each side


def pattern(kind: Pattern, grid: tuple[int, int], prefix: int, layer: int = 0) -> Tensor:
    """Who may look at whom, boolean (tokens, tokens): a row looks, a column is looked at.

    Prefix tokens, such as the class token, look at all and are seen by all.

    Args:
        kind: “all”; “windows” of 4 × 4 patches, moved by half of that in odd layers; “neighbours”,
            5 × 5 around each patch; “axes”, a patch's own row and column.
        grid: (rows, cols) of the patches.
        prefix: tokens in front of them.
        layer: the pattern's layer.

    Examples:
        >>> int(pattern("axes", (16, 16), 1)[1].sum())  # a row, a column, the class token
        32
    """
    rows, cols = (
        part.flatten() for part in torch.meshgrid(*map(torch.arange, grid), indexing="ij")
    )
    down, across = (part[:, None] - part for part in (rows, cols))
    if kind == "windows":
        shift = WINDOW // 2 * (layer % 2)
        window = torch.stack([(part + shift) // WINDOW for part in (rows, cols)])
        among = (window[:, :, None] == window[:, None]).all(dim=0)
    elif kind == "neighbours":
        among = (down.abs() <= REACH) & (across.abs() <= REACH)
    elif kind == "axes":
        among = (down == 0) | (across == 0)
    else:
        among = torch.ones_like(down, dtype=torch.bool)
    allowed = torch.ones(prefix + len(rows), prefix + len(rows), dtype=torch.bool)
    allowed[prefix:, prefix:] = among
    return allowed


def kept(weights: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of attention (…, tokens), were their softmax taken over the allowed tokens alone.

    Returns:
        The new weights, whose rows sum to 1, and the share of the old ones that is kept, (…).
    """
    some = weights * allowed
    shares = some.sum(dim=-1)
    return some / shares[..., None], shares


def with_pattern(rec: Recording, kind: Pattern) -> Tensor:
    """Logits (classes,) of the same photo if every layer's tokens look by this pattern.

    The model was trained with all: what it gives now says how much it relied on the rest, and not
    how good a model would be that is trained with the pattern.

    Raises:
        ModelError: as `run_blocks`.
    """
    anatomy = rec.vit.anatomy

    def block(layer: int, tokens: Tensor) -> Tensor:
        allowed = pattern(kind, rec.grid, rec.num_prefix_tokens, layer)
        return anatomy.process(layer, anatomy.attend(layer, tokens, allowed))

    return run_blocks(rec, block)
