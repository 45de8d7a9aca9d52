"""What several lessons show, by itself."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from vitviz.ui.course.widgets import colours
from vitviz.ui.parts.chart import lines_by


def test_a_negative_number_has_its_sign_where_there_is_room() -> None:
    """So that blue and red do not tell it alone: its cell holds a second colour, a minus."""
    numbers = np.array([[1.0, 0.4, 0.0], [-1.0, -0.4, -0.01]], np.float32)
    cells = np.asarray(colours(numbers, 1.0, 16)).reshape(2, 16, 3, 16, -1).swapaxes(1, 2)
    many = [[len(np.unique(cell.reshape(256, -1), axis=0)) for cell in row] for row in cells]
    assert many == [[1, 1, 1], [2, 2, 1]]  # −0.01 is nearly white
    crossed = (cells[1, 0] != cells[1, 0][0, 0]).any(axis=-1)
    rows, cols = np.nonzero(crossed)
    assert cols.max() - cols.min() > 2 * (rows.max() - rows.min())


def test_a_legend_shows_lines_as_they_are_drawn() -> None:
    """Also with points on them, of which it would show a disc with the line's dashes around it."""
    table = pd.DataFrame({"x": [0, 1], "y": [0, 1], "of": ["a", "b"]})
    encodings = lines_by("of:N", legend=alt.Legend(orient="bottom"), title=None)
    chart = alt.Chart(table).mark_line(point=True).encode(x="x", y="y", **encodings).to_dict()
    for channel in ("color", "strokeDash"):
        legend = chart["encoding"][channel]["legend"]
        assert (legend["symbolType"], legend["orient"]) == ("stroke", "bottom")
