"""Ground truth by intervention: hide a part of the photo and see what becomes of the class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.interventions.masking import grey, read_masked
from vitviz.methods.cells import unit
from vitviz.methods.gradients import Score
from vitviz.methods.method import (
    CLASSIFIERS,
    Method,
    WholeOption,
)
from vitviz.progress import Progress
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "occlusion"]


def occlusion(
    rec: Recording, score: Score, *, window: int, stride: int, progress: Progress
) -> Tensor:
    """Drop of the class's probability when windows over a patch turn grey: (tokens,). Of a label
    that others do not exclude it is its own probability, of a regression the score.

    A window of `window` × `window` patches moves by `stride` patches, and also stops at the far
    edges, so that every patch is hidden at least once. In a model whose patches shrink to larger
    ones in later layers, both count 1/14 of the photo instead of a patch. A patch's value is the
    mean drop over the windows that hide it, 0 where hiding raises the probability. Grey is the
    model's mean colour, 0 after its normalisation. Zeiler & Fergus 2014, arXiv 1311.2901.

    Args:
        rec: from `record`.
        score: its `target` is the class.
        window, stride: in patches.
        progress: called with the finished share after every few windows; what it raises ends the
            computation.

    Raises:
        MethodError: if the stride is larger than the window, which would leave patches out.

    Examples:
        >>> score, quiet = Score(rec.predictions[0].index), lambda share: None
        >>> occlusion(rec, score, window=8, stride=8, progress=quiet).shape
        torch.Size([257])
    """
    if stride > window:
        raise MethodError(
            "stride_too_long",
            "A stride of {stride} leaves patches out between windows of {window}; use a "
            "stride from 1 to {window}.",
            stride=stride,
            window=window,
        )
    hidden = _windows(rec.grid, window * unit(rec), stride * unit(rec))

    def value(logits: Tensor) -> Tensor:
        return rec.values(logits)[..., score.target]

    drops = value(rec.logits) - read_masked(rec, hidden, grey(rec), value, progress)
    covering = hidden.flatten(1).float()  # (windows, patches)
    values = (drops @ covering / covering.sum(dim=0)).clamp(min=0)
    return F.pad(values, (rec.num_prefix_tokens, 0))


def _windows(grid: tuple[int, int], window: int, stride: int) -> Tensor:
    """Which patches each window hides: boolean (windows, rows, cols)."""
    rows, cols = (_starts(length, window, stride) for length in grid)
    hidden = torch.zeros(len(rows) * len(cols), *grid, dtype=torch.bool)
    for one, (row, col) in zip(hidden, ((r, c) for r in rows for c in cols), strict=True):
        one[row : row + window, col : col + window] = True
    return hidden


def _starts(length: int, window: int, stride: int) -> list[int]:
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


METHOD = Method(
    "occlusion",
    13,
    "Occlusion",
    "How much less probable is this class when a part of the photo is hidden?",
    occlusion,
    "Zeiler & Fergus 2014, arXiv 1311.2901",
    {"window": WholeOption("Window", 3, 1, 8), "stride": WholeOption("Stride", 2, 1, 8)},
    class_specific=True,
    has_query=False,
    slow=True,
    quick={"window": 8, "stride": 8},
    applies_to=CLASSIFIERS,
    plain_only=False,
)
