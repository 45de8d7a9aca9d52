"""The patches of a map by their relevance, and what a class is worth when some are hidden."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import MethodError
from vitviz.heatmap import Heatmap
from vitviz.interventions.masking import read_masked
from vitviz.methods.explain import BASELINE
from vitviz.methods.made_from import same_recording
from vitviz.methods.target import Target, target_class
from vitviz.progress import Progress
from vitviz.recording.recording import Recording

__all__ = ["class_values", "measured_class", "most_relevant", "removal_order"]


@checked
def removal_order(heat: Heatmap) -> NDArray[np.intp]:
    """Indices of the patches, row by row, from most to least relevant: (patches,).

    Patches of equal value stay in row order. It is the order in which `deletion` hides them.

    Args:
        heat: any map.

    Raises:
        VitvizError: if it is no heatmap.

    Examples:
        >>> order = removal_order(heat)
        >>> order.shape, bool(heat.values.flat[order[0]] == heat.values.max())
        ((256,), True)
    """
    return np.argsort(-heat.values, axis=None, kind="stable")


def measured_class(rec: Recording, heat: Heatmap, target: Target | None, title: str) -> int:
    """The class that is asked for, by default the map's own, or else the top prediction.

    A map of one class says nothing of another: measured for that, it would seem worse than it is.
    """
    own = heat.made_from.target if heat.made_from else None
    index = target_class(rec, own if target is None else target, title)
    if heat.made_from and own not in (None, index):
        raise MethodError(
            "map_of_other_class",
            "This map explains class {own}, {label}, and cannot be measured for class {index}; "
            "explain that class, or leave the target out.",
            own=own,
            label=heat.made_from.target_label,
            index=index,
        )
    return index


def most_relevant(rec: Recording, heat: Heatmap, counts: NDArray[np.number]) -> Tensor:
    """The most relevant patches, as many as each count says: boolean (counts, rows, cols)."""
    if heat.values.shape != rec.grid:
        rows, cols = heat.values.shape
        raise MethodError(
            "map_of_other_grid",
            "The map has {rows} × {cols} patches and the recording {rec_rows} × "
            "{rec_cols}; measure a map on the recording that it explains.",
            rows=rows,
            cols=cols,
            rec_rows=rec.grid[0],
            rec_cols=rec.grid[1],
        )
    made = heat.made_from
    if made and made.method != BASELINE and not same_recording(rec, made):
        raise MethodError(
            "map_of_other_recording",
            "The map was made from another photo or another model than the recording; measure a "
            "map on the recording that it explains.",
        )
    rank = removal_order(heat).argsort()
    return torch.from_numpy(rank < counts[:, None]).unflatten(1, rec.grid)


def class_values(
    rec: Recording, hidden: Tensor, filling: Tensor, index: int, progress: Progress | None
) -> NDArray[np.float64]:
    """Probability or score of a class under each mask."""

    def value(logits: Tensor) -> Tensor:
        return rec.values(logits.double())[:, index]

    return read_masked(rec, hidden, filling, value, progress).numpy()
