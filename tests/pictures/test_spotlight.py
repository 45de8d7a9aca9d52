"""Masks and boxes on photos."""

from __future__ import annotations

import numpy as np
from heatmaps import heatmap
from PIL import Image

from vitviz.pictures.boxes import draw_boxes
from vitviz.pictures.spotlight import spotlight


def test_what_is_not_in_the_mask_or_not_seen_is_dark() -> None:
    photo = Image.new("RGB", (6, 2), (200, 100, 40))
    lit = np.asarray(spotlight(photo, heatmap(np.array([[1, 0]], np.float32), (1, 0, 5, 2))))
    assert (lit[:, 1:3] == (200, 100, 40)).all()
    assert (lit[:, [0, 3, 4, 5]] == (50, 25, 10)).all()


def test_a_box_is_drawn_on_its_edges() -> None:
    drawn = draw_boxes(Image.new("RGB", (100, 80), "grey"), [((20, 10, 60, 50), "lime")])
    pixels = np.asarray(drawn)
    rows, cols = (pixels != 128).any(axis=2).nonzero()
    assert (rows.min(), cols.min(), rows.max(), cols.max()) == (10, 20, 49, 59)
    assert (pixels[20:40, 30:50] == 128).all()
    assert ((pixels == (0, 255, 0)).all(axis=2)).any()


def test_a_dashed_box_has_its_corners_and_gaps() -> None:
    drawn = draw_boxes(Image.new("RGB", (400, 300), "grey"), [], [((50, 40, 350, 250), "white")])
    white = (np.asarray(drawn) == 255).all(axis=2)
    for row, col in ((40, 50), (40, 349), (249, 50), (249, 349)):
        assert white[row - 2 : row + 3, col - 2 : col + 3].any()
    for edge in (white[40, 50:350], white[250, 50:350], white[40:250, 50], white[40:250, 350]):
        assert 0.3 < edge.mean() < 0.8  # about as many gaps as dashes
    assert not white[60:230, 70:330].any()
