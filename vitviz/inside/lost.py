"""A box from the tokens of one photo, without labels and without training.

Siméoni et al. 2021, LOST, arXiv 2109.14279: patches of the background are like many others, those
of a thing are like few. The patch that fewest are like is taken for a piece of a thing; patches
that are like it and like few others join it; and what is like all of these together is the thing.
The paper takes keys of a model whose products have both signs. In others nearly all are positive:
here the photo's mean key is subtracted first.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.recording.calls import AttentionCall
from vitviz.recording.recording import Recording

__all__ = ["Found", "centred_keys", "find_object"]

MOST_SEEDS = 50  # k; 100 in the paper, whose photos have several times as many patches


@dataclass(frozen=True)
class Found:
    """What was found, step by step.

    Attributes:
        alike: with how many patches each one's product is not negative, (rows, cols).
        seed: (row, col) of the patch that has fewest.
        seeds: the patches that joined it, boolean (rows, cols).
        mask: the thing, boolean (rows, cols): the connected part that holds the seed.
        corners: (top, left, bottom, right) of the box around it, in patches; the last two lie
            behind it.
    """

    alike: Tensor
    seed: tuple[int, int]
    seeds: Tensor
    mask: Tensor
    corners: tuple[int, int, int, int]


def centred_keys(rec: Recording, layer: int) -> Tensor:
    """What the patches offer in a layer, minus the photo's mean: float32 (rows, cols, width), the
    keys of all heads side by side.

    Raises:
        MethodError: if the model computed its map itself, so that no keys were seen, or its layers
            have grids of their own.
    """
    call = rec.layers[layer]
    if not isinstance(call, AttentionCall) or not rec.is_plain:
        raise MethodError(
            "no_plain_scores",
            "{model} does not show its scores as queries times keys; choose a plain Vision "
            "Transformer.",
            model=rec.vit.name,
        )
    keys = call.key[0, :, rec.num_prefix_tokens :].float().transpose(0, 1).flatten(1)
    return (keys - keys.mean(dim=0)).unflatten(0, rec.grid)


def find_object(features: Tensor, most_seeds: int = MOST_SEEDS) -> Found:
    """The thing in a photo by the vectors of its patches.

    Args:
        features: (rows, cols, width), in the paper the keys of the last layer.
        most_seeds: how many patches, those with fewest others like them, may join the first.
    """
    grid = features.shape[:2]
    flat = features.flatten(0, 1)
    products = flat @ flat.T
    alike = (products >= 0).sum(dim=1)
    order = alike.argsort(stable=True)
    seed = int(order[0])
    joined = order[:most_seeds][products[seed, order[:most_seeds]] >= 0]
    seeds = torch.zeros(len(flat), dtype=torch.bool)
    seeds[joined] = True
    near = (products[:, seeds].sum(dim=1) >= 0).unflatten(0, grid)
    near.view(-1)[seed] = True
    _, parts = cv2.connectedComponents(near.numpy().astype(np.uint8), connectivity=4)
    mask = torch.from_numpy(parts == parts.flat[seed])
    rows, cols = (mask.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    corners = int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1
    place = divmod(seed, grid[1])
    return Found(alike.unflatten(0, grid), place, seeds.unflatten(0, grid), mask, corners)
