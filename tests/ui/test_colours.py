"""Numbers as colours, told apart without colours too."""

from __future__ import annotations

import numpy as np
import pytest

from vitviz.ui.course.widgets import HATCH, ROOM_FOR_A_SIGN, colours

VALUES = np.array([[-1, -0.5, 0, 0.5, 1]], np.float32)


@pytest.mark.parametrize("side", [ROOM_FOR_A_SIGN - 2, ROOM_FOR_A_SIGN, 16])
def test_negative_numbers_are_marked_in_black_and_white(side: int) -> None:
    grey = np.asarray(colours(VALUES, 1.0, side).convert("L"), int)
    cells = grey.reshape(side, 5, side).transpose(1, 0, 2).reshape(5, -1)
    shades = [len(set(cell.tolist())) for cell in cells]
    assert shades == [2, 2, 1, 1, 1]


def test_the_lines_of_a_negative_area_run_through_all_of_it() -> None:
    grey = np.asarray(colours(np.full((8, 8), -0.7, np.float32), 1.0, 2).convert("L"), int)
    lines = grey < grey.max()
    rows, cols = np.indices(lines.shape)
    assert (lines == ((rows + cols) % HATCH == 0)).all()
