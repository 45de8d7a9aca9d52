"""Groups of patches → picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["number_groups", "paint_groups"]


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


def number_groups(picture: Image.Image, groups: NDArray[np.integer]) -> Image.Image:
    """The picture with its group's number, from 1, in each patch: groups are told apart without
    colours.

    Args:
        picture: RGB, of the part of the photo that the patches cover.
        groups: a number from 0 for each patch, (rows, cols).
    """
    numbered = picture.copy()
    draw = ImageDraw.Draw(numbered)
    rows, cols = groups.shape
    high, wide = picture.height / rows, picture.width / cols
    font = ImageFont.load_default(0.5 * min(high, wide))
    for (row, col), group in np.ndenumerate(groups):
        middle = (col + 0.5) * wide, (row + 0.5) * high
        draw.text(middle, str(group + 1), "white", font, "mm", stroke_width=1, stroke_fill="black")
    return numbered
