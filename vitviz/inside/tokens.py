"""From photo to tokens: what the first layer of a Vision Transformer does with each patch.

Dosovitskiy et al. 2020, arXiv 2010.11929: a patch's pixels, as one vector, times a matrix that is
learned. timm computes it as a convolution whose stride is the patch size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.errors import ModelError
from vitviz.models.weights import as_floats
from vitviz.recording.query import check_patch
from vitviz.recording.recording import Recording
from vitviz.zoo.load import Vit

__all__ = [
    "filter_components",
    "patch_means",
    "patch_pixels",
    "patch_vectors",
    "projection",
    "share_along",
    "smoothest",
    "token_count",
]


def projection(vit: Vit) -> tuple[Tensor, Tensor]:
    """The learned filters (width, 3, height, width of a patch) and their bias (width,).

    Raises:
        ModelError: if the model does not cut its input with one convolution.
    """
    layer = vit.anatomy.patch_projection
    if layer is None or layer.kernel_size != layer.stride:
        raise ModelError(
            "patches_not_embedded",
            "{model} does not turn each patch into a vector with one matrix.",
            model=vit.name,
        )
    weight = as_floats(layer.weight)
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().float()
    return weight, bias


def filter_components(filters: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The main patterns that the filters (width, 3, height, width) are made of.

    Principal components over the filters, as in Dosovitskiy et al. 2020, figure 7: each filter is
    the mean filter plus a weighted sum of these, and no fewer patterns say more of how the filters
    differ. A component's sign means nothing.

    Returns:
        The first components, each of length 1, (count, 3, height, width); and the share of the
        variance that each holds, (count,).
    """
    centred = (filters - filters.mean(dim=0)).flatten(1)
    _, lengths, components = torch.linalg.svd(centred, full_matrices=False)
    shares = lengths.square() / lengths.square().sum()
    return components[:count].unflatten(1, filters.shape[1:]), shares[:count]


def share_along(rec: Recording, patterns: Tensor) -> float:
    """How much of what makes this photo's patches differ lies in these patterns: a share of their
    variance.

    Args:
        rec: from `record`.
        patterns: of length 1 and at right angles to each other, (count, 3, height, width).
    """
    rows, cols = rec.grid
    patches = torch.stack([patch_pixels(rec, (r, c)) for r in range(rows) for c in range(cols)])
    centred = (patches - patches.mean(dim=0)).flatten(1)
    return float((centred @ patterns.flatten(1).T).square().sum() / centred.square().sum())


def smoothest(filters: Tensor) -> Tensor:
    """Numbers of the filters (width, 3, height, width), those with broad patterns first: (width,).

    The order is that of how much neighbouring weights differ, Σ (difference)², in shares of Σ w².
    """
    differences = (filters.diff(dim=axis).square().sum(dim=(1, 2, 3)) for axis in (-1, -2))
    energy = filters.square().sum(dim=(1, 2, 3)).clamp(min=torch.finfo().tiny)
    return (torch.stack(list(differences)).sum(dim=0) / energy).argsort()


def patch_pixels(rec: Recording, patch: tuple[int, int]) -> Tensor:
    """A patch of the model's input, normalised as the model reads it: (3, height, width).

    Raises:
        VitvizError: if the patch is outside the grid.
        ModelError: as `projection`.
    """
    filters, _ = projection(rec.vit)
    check_patch(patch, rec.grid)
    height, width = filters.shape[-2:]
    y, x = patch[0] * height, patch[1] * width
    return rec.pixels[:, y : y + height, x : x + width]


def patch_means(rec: Recording) -> Tensor:
    """Each patch's mean over its pixels and colours, as the model reads them: (rows, cols)."""
    height, width = rec.patch_size
    rows, cols = rec.grid
    seen = rec.pixels[:, : rows * height, : cols * width].mean(dim=0)
    return seen.unflatten(1, (cols, width)).unflatten(0, (rows, height)).mean(dim=(1, 3))


@torch.no_grad()
def patch_vectors(rec: Recording) -> Tensor:
    """The vector of every patch before its position is added: float32 (rows, cols, width).

    Raises:
        ModelError: as `projection`.
    """
    projection(rec.vit)
    anatomy = rec.vit.anatomy
    assert anatomy.patch_embed is not None
    vectors: Tensor = anatomy.patch_embed(rec.core_pixels)
    return vectors.float().reshape(*rec.grid, -1)


def token_count(side: int, patch: int, prefix: int = 1) -> int:
    """Tokens of a square input: as many patches as fit, and the prefix tokens."""
    return (side // patch) ** 2 + prefix
