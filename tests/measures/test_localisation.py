"""Maps against boxes and masks: brute force, known cases, and the photo with two subjects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from heatmaps import heatmap
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, average_precision_score, jaccard_score
from torch import nn

import vitviz
from vitviz.measures.localisation import Segmentation, energy_in_box, pointing_game, segmentation
from vitviz.pictures.overlay import on_photo

# Maps of a few patches on a photo of 24 × 16 pixels, and what lies on it.
grids = st.tuples(st.integers(1, 4), st.integers(1, 5))
maps = grids.flatmap(lambda grid: arrays(np.float32, grid, elements=st.integers(0, 3)))
boxes = st.tuples(  # of at least one pixel a patch
    st.integers(-3, 8), st.integers(-3, 4), st.integers(13, 27), st.integers(9, 19)
)


@given(maps, boxes, boxes)
def test_pointing_and_energy(values: NDArray[np.float32], covered: tuple, box: tuple) -> None:
    heat = heatmap(values, covered)
    (left, top, right, bottom), (rows, cols) = covered, values.shape
    width, height = (right - left) / cols, (bottom - top) / rows
    inside, best, hit = 0.0, 0.0, False
    for r in range(rows):
        for c in range(cols):
            x, y, value = left + c * width, top + r * height, float(values[r, c])
            wide = max(0.0, min(x + width, box[2]) - max(x, box[0]))
            high = max(0.0, min(y + height, box[3]) - max(y, box[1]))
            inside += value * wide * high / (width * height)
            if value > best:
                best = value
                centre = x + width / 2, y + height / 2
                hit = box[0] <= centre[0] <= box[2] and box[1] <= centre[1] <= box[3]
    assert pointing_game(heat, box) == hit
    assert energy_in_box(heat, box) == pytest.approx(inside / (values.sum() or 1))


def test_a_box_beside_the_map_holds_nothing() -> None:
    heat = heatmap(np.ones((2, 2)), (0, 0, 10, 10))
    assert energy_in_box(heat, (20, 20, 30, 30)) == 0
    assert not pointing_game(heat, (20, 20, 30, 30))
    assert energy_in_box(heat, (0, 0, 10, 10)) == 1


masks = arrays(np.bool_, (16, 24))


@given(maps, boxes, masks)
def test_segmentation(values: NDArray[np.float32], covered: tuple, mask: NDArray[np.bool_]) -> None:
    left, top, right, bottom = (max(0, edge) for edge in covered)
    truth = mask[top:bottom, left:right]
    if not truth.any():
        with pytest.raises(vitviz.MethodError, match="no object"):
            segmentation(heatmap(values, covered), mask)
        return
    # Bilinear between patch centres, constant beyond the outermost.
    height, width = covered[3] - covered[1], covered[2] - covered[0]
    enlarged = nn.functional.interpolate(
        torch.from_numpy(values)[None, None].double(), (height, width), mode="bilinear"
    )[0, 0].numpy()
    enlarged = enlarged[top - covered[1] :, left - covered[0] :][: len(truth), : truth.shape[1]]
    scores, _ = on_photo(heatmap(values, covered), (24, 16))
    np.testing.assert_allclose(scores, enlarged, atol=1e-5)
    called, labels = (scores > scores.mean(dtype=np.float64)).ravel(), truth.ravel()
    assert segmentation(heatmap(values, covered), mask) == Segmentation(
        pytest.approx(accuracy_score(labels, called)),
        pytest.approx(average_precision_score(labels, scores.ravel())),
        pytest.approx(
            jaccard_score(labels, called, labels=[False, True], average="macro", zero_division=0)
        ),
    )


def test_a_perfect_map_segments_perfectly() -> None:
    mask = np.zeros((40, 60), bool)
    mask[20:40, :30] = True
    values = [[0, 0], [1, 0]]
    found = segmentation(heatmap(np.kron(values, np.ones((200, 300))), (0, 0, 60, 40)), mask)
    assert found == Segmentation(1.0, 1.0, 1.0)


@pytest.mark.parametrize("mask", [np.ones((4, 4)), np.ones((4, 4, 1), bool)])
def test_a_mask_that_is_none(mask: NDArray[np.generic]) -> None:
    with pytest.raises(vitviz.MethodError, match="boolean"):
        segmentation(heatmap([[1.0]], (0, 0, 4, 4)), mask)


@pytest.mark.parametrize(("label", "half"), [("Egyptian cat", 0), ("tabby", 0), ("espresso", 1)])
def test_relevance_of_each_class_lies_on_its_half_of_the_photo(label: str, half: int) -> None:
    """The cat is on the left, the coffee on the right."""
    sample = next(s for s in vitviz.samples() if s.id == "cat-and-coffee")
    photo = vitviz.load_image(sample.path)
    rec = vitviz.record(vitviz.load_model(), photo)
    target = next(p.index for p in rec.predictions if p.label == label)
    middle = photo.width / 2
    box = (half * middle, 0.0, (half + 1) * middle, float(photo.height))
    assert energy_in_box(vitviz.explain(rec, "relevance", target=target), box) >= 0.65
