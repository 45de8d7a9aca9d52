"""Grey of more than eight bits, or of numbers without an agreed range, in eight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.errors import ImageError

__all__ = ["STRETCHED", "eight_bits"]

STRETCHED = "stretched"
"""In a picture's `info`: the numbers shown as black and white, where they are not the file's own
smallest and largest."""

EIGHT_OF_SIXTEEN_BITS = np.rint(np.arange(2**16) / 257).astype(np.uint8)
SMALL_PART = 1 / 4  # of the range; 12 bits in a file of 16 use a sixteenth
SPIKE = 10  # times the range of nearly all values
ASKED = 10**6  # values are enough to tell the range of nearly all
ROWS = 64  # converted at a time: in exact numbers all of them take more memory than the image


def eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, or of numbers without a range, in 8; Pillow's own conversion saturates.

    What uses a small part of its range, or has none, is stretched, see `STRETCHED`.

    Raises:
        ImageError: if no value is a number.
    """
    if image.mode in ("I", "F"):
        return _stretched(image)
    if not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image, np.uint16)
    hidden = image.info.get("transparency")
    used = values if hidden is None else values[values != hidden]
    low, high = _used(used.ravel()) if used.size else (0.0, 0.0)
    if small := 0 < high - low <= SMALL_PART * (2**16 - 1):
        levels = _spread(np.arange(2**16), low, high)
    else:
        levels = EIGHT_OF_SIXTEEN_BITS
    grey = Image.fromarray(levels[values])
    grey.info.update(image.info, **({STRETCHED: (low, high)} if small else {}))
    if grey.info.pop("transparency", None) is not None:
        grey.putalpha(Image.fromarray(values != hidden).convert("L"))
    return grey


def _stretched(image: Image.Image) -> Image.Image:
    """From the smallest to the largest of nearly all values. What is no number is dark, and one
    value everywhere is grey."""
    values = np.asarray(image)
    finite = np.isfinite(values)
    if not finite.any():
        raise ImageError(
            "no_values", "The image holds no number that could be shown; save it again."
        )
    low, high = _used(values.ravel() if finite.all() else values[finite])
    levels = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), ROWS):
        levels[row : row + ROWS] = _spread(values[row : row + ROWS], low, high)
    grey = Image.fromarray(levels)
    grey.info.update({**image.info, STRETCHED: (low, high)})
    return grey


def _spread(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """0 at `low` to 255 at `high`."""
    exact = np.nan_to_num(values.astype(np.float64), copy=False, nan=low, posinf=high, neginf=low)
    if high > low:
        exact -= low
        exact *= 255 / (high - low)
    else:
        exact[:] = 127.5
    np.clip(exact, 0, 255, out=exact)
    return np.rint(exact, out=exact).astype(np.uint8)


def _used(values: NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest of a list; of nearly all, where single ones are so far away that
    they would leave the rest one shade."""
    low, high = float(values.min()), float(values.max())
    sample = values[:: len(values) // ASKED + 1].astype(np.float64)
    inner_low, inner_high = np.quantile(sample, [0.01, 0.99])
    if 0 < SPIKE * (inner_high - inner_low) < high - low:
        return float(inner_low), float(inner_high)
    return low, high
