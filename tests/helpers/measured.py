"""The measures of faithfulness by name, and what they give as numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vitviz.measures.faithfulness import (
    Curve,
    deletion,
    insertion,
    perturbation,
    saco,
)

Measure = Callable[..., object]
CURVES: dict[str, Callable[..., Curve]] = {"deletion": deletion, "insertion": insertion}
MEASURES: dict[str, Measure] = {
    **CURVES,
    "positive": partial(perturbation, positive=True),
    "negative": partial(perturbation, positive=False),
    "saco": saco,
}


def numbers(result: object) -> NDArray[np.float64]:
    return np.asarray(result.values if isinstance(result, Curve) else result, np.float64)
