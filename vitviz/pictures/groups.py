"""Groups of patches → picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["paint_groups"]


def paint_groups(picture: Image.Image, groups: NDArray[np.integer]) -> Image.Image:
    """Each group of patches in the mean colour of its pixels, as in the figures of Bolya et al.
    2022, arXiv 2210.09461.

    Args:
        picture: the part of the photo that the patches cover.
        groups: a number for each patch, (rows, cols).

    Returns:
        RGB image of the picture's size.
    """
    pixels = np.asarray(picture.convert("RGB"), np.float64)
    height, width = pixels.shape[:2]
    rows, cols = groups.shape
    y, x = np.arange(height) * rows // height, np.arange(width) * cols // width
    _, members = np.unique(groups[np.ix_(y, x)], return_inverse=True)
    members = members.ravel()
    counts = np.bincount(members)
    means = [np.bincount(members, pixels[..., c].ravel()) / counts for c in range(3)]
    painted = np.stack(means, axis=-1)[members].reshape(pixels.shape)
    return Image.fromarray(np.rint(painted).astype(np.uint8))
