"""Position embeddings: what tells a Vision Transformer where a patch lies, and life without them.

Dosovitskiy et al. 2020, arXiv 2010.11929: a learned vector for each place is added to the token of
the patch that lies there. Attention itself does not know any order (Vaswani et al. 2017,
arXiv 1706.03762): without these vectors the patches are a set.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitviz.errors import ModelError, VitvizError
from vitviz.models.vit import on_device, shared_copy
from vitviz.recording.record import record_pixels
from vitviz.recording.recording import Recording

__all__ = [
    "permute_patches",
    "position_embedding",
    "position_similarity",
    "swapped",
    "with_patches",
    "without_positions",
]


@torch.no_grad()
def position_embedding(rec: Recording) -> Tensor:
    """The vector added to the patch of each place: float32 (rows, cols, width).

    It is what the model itself adds at this input size, resampled where its own grid is another.

    Raises:
        ModelError: if the model does not add one learned vector for each place.
    """
    _own_positions(rec)
    anatomy = rec.vit.anatomy
    assert anatomy.patch_embed is not None
    embedded = anatomy.patch_embed(rec.core_pixels)
    added = anatomy.with_positions(torch.zeros_like(embedded))
    return added[0, rec.num_prefix_tokens :].float().unflatten(0, rec.grid)


def _own_positions(rec: Recording) -> nn.Parameter:
    """The model's learned vectors, (1, places, width)."""
    learned = rec.vit.anatomy.learned_positions
    if learned is None:
        raise ModelError(
            "no_absolute_positions",
            "{model} does not add one learned vector for each place; choose a model with "
            "absolute position embeddings, such as ViT, DeiT or DINOv2.",
            model=rec.vit.name,
        )
    return learned


def position_similarity(rec: Recording) -> Tensor:
    """Cosine of the angle between the vectors of two places: (rows, cols, rows, cols).

    Raises:
        ModelError: as `position_embedding`.
    """
    vectors = F.normalize(position_embedding(rec).flatten(0, 1), dim=-1)
    return (vectors @ vectors.T).unflatten(1, rec.grid).unflatten(0, rec.grid)


@torch.no_grad()
def without_positions(rec: Recording) -> Recording:
    """The same input through the model with every patch's position vector set to zero.

    Tokens without a place, such as the class token, keep theirs. The model is shared and stays as
    it is: a copy that shares all other weights runs.

    Raises:
        ModelError: as `position_embedding`.
    """
    shared = _own_positions(rec)
    module = shared_copy(rec.vit.module, own=[shared])
    bare = replace(rec.vit, module=module, elsewhere=None)
    learned, anatomy = bare.anatomy.learned_positions, bare.anatomy
    assert learned is not None
    learned.requires_grad_(False)
    learned[:, rec.num_prefix_tokens if anatomy.positions_hold_prefix else 0 :] = 0
    bare = on_device(bare, rec.vit.device)
    return record_pixels(bare, rec.pixels, rec.box, rec.edited)


def permute_patches(rec: Recording, order: Tensor) -> Tensor:
    """The model's input with its patches in another order: (3, height, width).

    Args:
        rec: from `record`.
        order: (patches,), which patch comes to each place, row after row.

    Raises:
        VitvizError: if `order` is not a permutation of the patches.
    """
    rows, cols = rec.grid
    if order.sort().values.tolist() != list(range(rows * cols)):
        raise VitvizError(
            "incomplete_order",
            "The order must name each of the {patches} patches once.",
            patches=rows * cols,
        )
    height, width = rec.patch_size
    seen = rec.pixels[:, : rows * height, : cols * width]
    patches = seen.unflatten(2, (cols, width)).unflatten(1, (rows, height)).transpose(2, 3)
    placed = patches.flatten(1, 2)[:, order].unflatten(1, rec.grid).transpose(2, 3)
    pixels = rec.pixels.clone()
    pixels[:, : rows * height, : cols * width] = placed.flatten(3, 4).flatten(1, 2)
    return pixels


def with_patches(rec: Recording, order: Tensor) -> Recording:
    """The same model on the input whose patches are in another order; see `permute_patches`."""
    return record_pixels(rec.vit, permute_patches(rec, order), rec.box, rec.edited)


def swapped(rec: Recording, one: tuple[int, int], other: tuple[int, int]) -> Tensor:
    """The order in which two patches, as (row, col), have changed places: (patches,)."""
    cols = rec.grid[1]
    order = torch.arange(rec.grid[0] * cols)
    first, second = one[0] * cols + one[1], other[0] * cols + other[1]
    order[[first, second]] = order[[second, first]]
    return order
