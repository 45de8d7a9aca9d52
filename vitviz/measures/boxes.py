"""Boxes found on a photo, and how well they lie.

A box is (left, top, right, bottom) in pixels of the photo, as everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitviz.errors import VitvizError
from vitviz.heatmap import Box, Heatmap

__all__ = ["LOCATED", "box_of_map", "overlap", "placed"]

LOCATED = 0.5
"""Overlap from which on a thing counts as located, as in CorLoc (Deselaers et al. 2010)."""


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 to 1.

    Examples:
        >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
        0.3333333333333333
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other))
    return shared / (areas - shared)


def placed(corners: tuple[float, float, float, float], grid: tuple[int, int], box: Box) -> Box:
    """(top, left, bottom, right) in patches → a box on the photo.

    Args:
        corners: in patches; the last two lie behind the box.
        grid: (rows, cols).
        box: the part of the photo that the grid covers.
    """
    left, top, right, bottom = box
    tall, wide = (bottom - top) / grid[0], (right - left) / grid[1]
    return (
        left + corners[1] * wide,
        top + corners[0] * tall,
        left + corners[3] * wide,
        top + corners[2] * tall,
    )


def box_of_map(heat: Heatmap, share: float) -> Box:
    """The box around the largest connected part of what exceeds a share of the map's largest value.

    Zhou et al. 2016, arXiv 1512.04150, with 0.2: a box from a class's map, by a model that was only
    told which classes its photos show.

    Args:
        heat: such as a class's relevance.
        share: 0 to below 1.

    Raises:
        VitvizError: for another share, or a map of zeros.
    """
    if not 0 <= share < 1:
        raise VitvizError(
            "cut_out_of_range", "The share is from 0 to below 1, not {share}.", share=share
        )
    above: NDArray[np.bool_] = heat.values > share * heat.values.max()
    if not above.any():
        raise VitvizError("nothing_above", "The map is 0 everywhere, so it has no box.")
    _, _, parts, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=4)
    x, y, width, height, _ = parts[1 + int(parts[1:, cv2.CC_STAT_AREA].argmax())].tolist()
    rows, cols = heat.values.shape
    return placed((y, x, y + height, x + width), (rows, cols), heat.box)
