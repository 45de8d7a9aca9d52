"""A mask of patches → picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vitviz.heatmap import Heatmap
from vitviz.pictures.overlay import on_photo

__all__ = ["spotlight"]

DARK = 0.25  # of the light outside


def spotlight(photo: Image.Image, mask: Heatmap) -> Image.Image:
    """The photo, darkened where the mask is 0 and where the model did not look.

    Args:
        photo: RGB.
        mask: 1 for the patches that stay as they are.
    """
    light = np.full((photo.height, photo.width, 1), DARK)
    values, (x0, y0, x1, y1) = on_photo(mask, photo.size, smooth=False)
    light[y0:y1, x0:x1, 0] += (1 - DARK) * (values > 0)
    return Image.fromarray(np.rint(np.asarray(photo) * light).astype(np.uint8))
