"""Groups of patches as their mean colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vitviz.pictures.groups import number_groups, paint_groups


def test_each_group_has_the_mean_of_its_pixels() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2, :3], pixels[2:, 3:], pixels[:2, 3:] = (200, 0, 0), (0, 100, 0), (7, 8, 9)
    found = np.asarray(paint_groups(Image.fromarray(pixels), np.array([[5, 2], [9, 5]])))
    assert (found[:2, :3] == (100, 50, 0)).all()  # two patches apart that are one group
    assert (found[2:, 3:] == (100, 50, 0)).all()
    assert (found[:2, 3:] == (7, 8, 9)).all()
    assert (found[2:, :3] == 0).all()


def test_patches_of_one_group_have_one_number() -> None:
    groups = np.array([[0, 1], [1, 0]])
    found = np.asarray(number_groups(Image.new("RGB", (80, 80), "grey"), groups))
    cells = {(row, col): found[40 * row :, 40 * col :][:40, :40] for row, col in np.ndindex(2, 2)}
    assert (cells[0, 0] == cells[1, 1]).all()
    assert (cells[0, 1] == cells[1, 0]).all()
    assert (cells[0, 0] != cells[0, 1]).any()
    assert (cells[0, 0] == 255).any()
