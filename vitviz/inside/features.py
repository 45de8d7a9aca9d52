"""What the patch tokens know beyond the class: parts, foreground, and the same thing elsewhere.

Oquab et al. 2023, DINOv2, arXiv 2304.07193 (principal components); Amir et al. 2021, Deep ViT
features as dense visual descriptors, arXiv 2112.05814 (clusters, correspondence); Radford et al.
2021, CLIP, arXiv 2103.00020 (contrastive matching).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitviz.errors import ModelError, VitvizError
from vitviz.recording.recording import Recording

__all__ = [
    "clusters",
    "contrast",
    "foreground",
    "patch_features",
    "principal_components",
    "similarity",
]
TRIES = 5  # of k-means, from other starts


@torch.no_grad()
def patch_features(rec: Recording) -> Tensor:
    """Each patch's token after the last block and the final norm: float32 (rows, cols, width). One
    more forward pass.

    Raises:
        ModelError: if the model does not give its tokens.

    Examples:
        >>> patch_features(rec).shape
        torch.Size([16, 16, 384])
    """
    with rec.recorder():
        tokens = rec.vit.last_tokens(rec.core_pixels)
    if not isinstance(tokens, Tensor) or tokens.ndim != 3 or tokens.shape[1] != rec.num_tokens:
        raise ModelError(
            "no_last_tokens",
            "{model} does not give its tokens after the last block.",
            model=rec.vit.name,
        )
    return tokens[0, rec.num_prefix_tokens :].float().unflatten(0, rec.grid)


def principal_components(features: Tensor, count: int = 3) -> tuple[Tensor, Tensor]:
    """The directions in which patches differ most, and where each patch lies along them.

    A component's sign is free; here its largest weight is positive.

    Args:
        features: (rows, cols, width).
        count: of components.

    Returns:
        Positions (rows, cols, count) with mean 0, and each component's share of the variance.

    Examples:
        >>> places, shares = principal_components(patch_features(rec))
        >>> places.shape
        torch.Size([16, 16, 3])
    """
    flat = features.flatten(0, 1)
    centred = flat - flat.mean(dim=0)
    _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
    found = directions[:count]
    largest = found.gather(1, found.abs().argmax(dim=1, keepdim=True))
    positions = centred @ (found * largest.sign()).T
    return positions.unflatten(0, features.shape[:2]), (lengths**2 / (lengths**2).sum())[:count]


def foreground(component: Tensor) -> Tensor:
    """Which patches are foreground by one component, boolean (rows, cols).

    The component cuts the patches in two at its mean; the foreground is the part that holds fewer
    of the patches at the border of the photo.

    Examples:
        >>> places, _ = principal_components(patch_features(rec), count=1)
        >>> foreground(places[..., 0]).sum()  # of 256 patches
        tensor(99)
    """
    above = component > component.mean()
    inside = torch.zeros_like(above)
    inside[1:-1, 1:-1] = True
    return above if above[~inside].float().mean() <= 0.5 else ~above


def clusters(features: Tensor, count: int) -> NDArray[np.int64]:
    """The patches in groups of similar direction, by k-means: group numbers (rows, cols).

    Groups are numbered in the order in which they appear; the same features give the same groups.

    Raises:
        VitvizError: if there are fewer patches than groups.

    Examples:
        >>> np.unique(clusters(patch_features(rec), 3))
        array([0, 1, 2])
    """
    rows, cols, _ = features.shape
    if not 1 <= count <= rows * cols:
        raise VitvizError(
            "too_many_groups",
            "{patches} patches cannot be put into {groups} groups.",
            patches=rows * cols,
            groups=count,
        )
    unit = F.normalize(features.flatten(0, 1), dim=-1).numpy()
    rule = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-5)
    starts = (_start(unit, count, seed) for seed in range(TRIES))
    tries = (cv2.kmeans(unit, count, at, rule, 1, cv2.KMEANS_USE_INITIAL_LABELS) for at in starts)
    _, labels, _ = min(tries, key=lambda tried: tried[0])  # the most compact
    _, first, groups = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[groups].reshape(rows, cols)


def _start(unit: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int32]:
    """The start of k-means++: each vector's nearest of a few, int32 (vectors, 1). Each of these is
    drawn by the squares of the distances from those before.

    OpenCV's own start would draw from a generator that everything in the process shares."""
    generator = np.random.default_rng(seed)
    cosines = unit @ unit.T
    chosen = [int(generator.integers(len(unit)))]
    for _ in range(1, count):
        squares = (1 - cosines[chosen].max(axis=0)).clip(1e-9).astype(np.float64)
        squares[chosen] = 0
        chosen.append(int(generator.choice(len(unit), p=squares / squares.sum())))
    return cosines[chosen].argmax(axis=0).astype(np.int32)[:, None]


def similarity(feature: Tensor, features: Tensor) -> Tensor:
    """Cosine of the angle between one patch's vector (width,) and others' (…, width): (…).

    Examples:
        >>> features = patch_features(rec)
        >>> similarity(features[8, 8], features).shape
        torch.Size([16, 16])
    """
    return F.cosine_similarity(features, feature, dim=-1)


def contrast(images: Tensor, texts: Tensor, temperature: float) -> Tensor:
    """Which text fits which image: softmax over texts of the cosine over a temperature.

    Args:
        images: (images, width).
        texts: (texts, width).
        temperature: above 0; CLIP learns it and ends at 0.01.

    Returns:
        (images, texts); each row sums to 1.

    Examples:
        >>> contrast(torch.eye(2), torch.eye(2), temperature=1.0)
        tensor([[0.7311, 0.2689],
                [0.2689, 0.7311]])
    """
    cosines = F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    return (cosines / temperature).softmax(dim=-1)
