"""Does a map lie on the object? Measures against boxes and masks that people drew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitviz.arguments import checked
from vitviz.errors import MethodError
from vitviz.heatmap import Box, Heatmap
from vitviz.pictures.overlay import on_photo

__all__ = ["Segmentation", "energy_in_box", "pointing_game", "segmentation"]


@dataclass(frozen=True)
class Segmentation:
    """How well a map separates an object from its background, each 0 to 1; see `segmentation`."""

    pixel_accuracy: float
    average_precision: float
    mean_iou: float


@checked
def pointing_game(heat: Heatmap, box: Box) -> bool:
    """Whether the centre of the most relevant patch lies in a box, edges included.

    The first of equals in row order counts; False for a map of zeros. Zhang et al. 2016,
    arXiv 1608.00507, without their tolerance of 15 pixels.

    Args:
        heat: values and where they lie.
        box: (left, top, right, bottom) in pixels of the photo.
    """
    row, col = np.unravel_index(heat.values.argmax(), heat.values.shape)
    x, y = (edges[i : i + 2].mean() for edges, i in zip(_edges(heat), (col, row), strict=True))
    left, top, right, bottom = box
    return bool(heat.values.any() and left <= x <= right and top <= y <= bottom)


@checked
def energy_in_box(heat: Heatmap, box: Box) -> float:
    """Share of the map's sum that lies in a box, 0 to 1; 0 for a map of zeros.

    A patch that is partly inside counts by the area inside. Wang et al. 2020, arXiv 1910.01279.

    Args:
        heat: values and where they lie.
        box: (left, top, right, bottom) in pixels of the photo.
    """
    inside = [
        np.diff(np.clip(edges, low, max(low, high))) / np.diff(edges)
        for edges, low, high in zip(_edges(heat), box[:2], box[2:], strict=True)
    ]
    values = heat.values.astype(np.float64)
    total = values.sum()
    return float(inside[1] @ values @ inside[0] / total) if total else 0.0


@checked
def segmentation(heat: Heatmap, mask: NDArray[np.bool_]) -> Segmentation:
    """How well a map separates an object from its background, in pixels of the photo.

    The map is interpolated bilinearly; what exceeds its mean is called object. Pixels that the
    model did not see are left out. Pixel accuracy is the share of pixels called rightly, mean IoU
    the mean of intersection over union for object and background, average precision Σ (R_n -
    R_n-1) P_n over all thresholds n on the continuous values. Chefer, Gur & Wolf 2021,
    arXiv 2012.09838, whose average precision ranks object and background pixels in one list.

    Args:
        heat: values and where they lie.
        mask: where the object is, boolean (height, width) of the photo.

    Raises:
        MethodError: if the mask is not a boolean picture, or has no object where the model looked.
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise MethodError(
            "mask_not_boolean", "The mask must be a boolean array, (height, width) of the photo."
        )
    values, (x0, y0, x1, y1) = on_photo(heat, mask.shape[::-1])
    truth = mask[y0:y1, x0:x1]
    if not truth.any():
        raise MethodError(
            "mask_out_of_sight",
            "The mask has no object in the part of the photo that the model saw.",
        )
    called = values > values.mean(dtype=np.float64)
    ious = [(a & b).sum() / (a | b).sum() for a, b in ((called, truth), (~called, ~truth))]
    return Segmentation(
        float((called == truth).mean()),
        _average_precision(values.ravel(), truth.ravel()),
        float(np.mean(ious)),
    )


def _edges(heat: Heatmap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the columns and the rows of patches begin and end, in pixels of the photo."""
    left, top, right, bottom = heat.box
    rows, cols = heat.values.shape
    return np.linspace(left, right, cols + 1), np.linspace(top, bottom, rows + 1)


def _average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    found = truth[order].cumsum()[last_of_equals]
    precision = found / (np.flatnonzero(last_of_equals) + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / found[-1])
