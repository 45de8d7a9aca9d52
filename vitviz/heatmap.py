"""An explanation as numbers: one value a patch, and where the patches lie on the photo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Heatmap", "Scale"]

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the photo; pixel centres lie at halves."""

Scale = tuple[float, float]
"""The values that the lowest and the highest colour of a picture stand for."""


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Patch values of one explanation.

    Attributes:
        values: float32 (rows, cols), finite and not negative, in the method's own units.
        box: the part of the photo that the grid covers.
        method: the id in `METHODS` that made it.

    Raises:
        ValueError: if a value is negative or not finite, which no method may return.
    """

    values: NDArray[np.float32]
    box: Box
    method: str

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not np.isfinite(self.values).all() or self.values.min() < 0:
            raise ValueError(f"{self.method} returned values that are not finite and ≥ 0.")

    @property
    def range(self) -> Scale:
        """Smallest and largest value: the scale a picture of this map alone uses."""
        return float(self.values.min()), float(self.values.max())

    @property
    def shares(self) -> Heatmap:
        """The same map in shares of its sum, so that maps of different units can be compared."""
        total = float(self.values.sum())
        return replace(self, values=self.values / total) if total else self

    def on_grid(self, grid: tuple[int, int]) -> Heatmap:
        """The same map on a finer grid, whose patches have the value of the one that covers them:
        so are maps of layers with grids of their own compared.

        Raises:
            ValueError: if the grid is not a multiple of the map's.
        """
        rows, cols = (fine / own for fine, own in zip(grid, self.values.shape, strict=True))
        if not (rows.is_integer() and cols.is_integer()):
            raise ValueError(f"A map of {self.values.shape} patches does not fit on {grid}.")
        finer = self.values.repeat(int(rows), axis=0).repeat(int(cols), axis=1)
        return replace(self, values=finer)

    def scaled(self, factor: float) -> Heatmap:
        """The same map for a copy of the photo that is `factor` times as large."""
        left, top, right, bottom = (factor * edge for edge in self.box)
        return replace(self, box=(left, top, right, bottom))
