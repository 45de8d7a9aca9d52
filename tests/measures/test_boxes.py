"""Boxes on photos, and pictures whose boxes are known."""

from __future__ import annotations

import numpy as np
import pytest
from heatmaps import heatmap
from hypothesis import given
from hypothesis import strategies as st

import vitviz
from vitviz.measures.boxes import LOCATED, box_of_map, overlap, placed
from vitviz.measures.composed import THINGS, composed

edges = st.integers(0, 8)
boxes = st.tuples(edges, edges, st.integers(1, 6), st.integers(1, 6)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, boxes)
def test_overlap_is_counted_in_cells(one: tuple, other: tuple) -> None:
    def cells(box: tuple) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    a, b = cells(one), cells(other)
    assert overlap(one, other) == pytest.approx(len(a & b) / len(a | b))


def test_as_much_again_beside_it_is_just_enough() -> None:
    """As the lesson's self-check says."""
    assert overlap((0, 0, 4, 2), (0, 0, 2, 2)) == 0.5 == LOCATED


def test_patches_lie_where_the_grid_lies() -> None:
    assert placed((1, 2, 3, 4), (4, 4), (100, 0, 180, 40)) == (140, 10, 180, 30)


def test_the_largest_part_above_a_share_has_the_box() -> None:
    values = [[9, 0, 0, 0], [0, 0, 5, 5], [0, 0, 2, 5]]
    heat = heatmap(np.array(values, np.float32), (0, 0, 40, 30))
    assert box_of_map(heat, 0.3) == (20, 10, 40, 30)  # 2 is below 2.7: three patches, not one
    assert box_of_map(heat, 0.6) == (0, 0, 10, 10)
    with pytest.raises(vitviz.VitvizError, match="share"):
        box_of_map(heat, 1.0)
    with pytest.raises(vitviz.VitvizError, match="0 everywhere"):
        box_of_map(heatmap(np.zeros((2, 2)), (0, 0, 2, 2)), 0.2)


def test_a_composed_picture_holds_its_thing_in_its_box() -> None:
    pictures = composed()
    assert len(pictures) == 30
    samples = {sample.id: vitviz.load_image(sample.path) for sample in vitviz.samples()}
    for picture in pictures:
        left, top, right, bottom = picture.box
        assert 0 <= left < right <= picture.photo.width
        assert 0 <= top < bottom <= picture.photo.height
        cut = samples[picture.thing].crop(THINGS[picture.thing])
        cut = cut.resize((int(right - left), int(bottom - top)))
        inside = picture.photo.crop((int(left), int(top), int(right), int(bottom)))
        assert np.abs(np.asarray(cut, float) - np.asarray(inside)).max() == 0
