"""Files to take away: the picture, and the numbers behind it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from vitviz.heatmap import Heatmap

__all__ = ["write_npz", "write_png"]

AXES = """values: heatmap, float32 (rows, cols), one value a patch, row 0 at the top.
box: (left, top, right, bottom) of the photo, in its pixels, that the grid covers.
method: the explanation's id."""


def write_png(picture: Image.Image, file: Path | BinaryIO) -> None:
    """Write a picture as PNG."""
    picture.save(file, format="PNG")


def write_npz(heat: Heatmap, file: Path | BinaryIO) -> None:
    """Write a heatmap's numbers as a NumPy archive that explains itself in its entry `readme`."""
    np.savez_compressed(
        file, values=heat.values, box=np.array(heat.box), method=heat.method, readme=AXES
    )
