"""Groups of patches as their mean colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vitviz.pictures.groups import paint_groups


def test_each_group_has_the_mean_of_its_pixels() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2, :3], pixels[2:, 3:], pixels[:2, 3:] = (200, 0, 0), (0, 100, 0), (7, 8, 9)
    found = np.asarray(paint_groups(Image.fromarray(pixels), np.array([[5, 2], [9, 5]])))
    assert (found[:2, :3] == (100, 50, 0)).all()  # two patches apart that are one group
    assert (found[2:, 3:] == (100, 50, 0)).all()
    assert (found[:2, 3:] == (7, 8, 9)).all()
    assert (found[2:, :3] == 0).all()
