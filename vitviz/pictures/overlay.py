"""Heatmap → picture."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vitviz.arguments import checked
from vitviz.errors import VitvizError, VitvizWarning
from vitviz.heatmap import Heatmap
from vitviz.photos.given import PhotoLike, as_photo

__all__ = ["COLORMAPS", "colorize", "mark_patch", "on_photo", "overlay", "shared_scale"]

COLORMAPS = ("inferno", "viridis", "magma", "plasma", "cividis")
"""Offered first; every name matplotlib knows works. All five are perceptually uniform."""

OTHER_PHOTO = (
    "This heatmap was made from another photo than the one it is drawn over, or from the same one "
    "in another size; draw it over the photo that was recorded, or see Heatmap.scaled."
)


@checked
def overlay(
    photo: PhotoLike,
    heat: Heatmap,
    colormap: str = "inferno",
    alpha: float = 0.5,
    *,
    smooth: bool = True,
    scale: tuple[float, float] | None = None,
) -> Image.Image:
    """The photo with the heatmap over the part that the model saw; the rest stays as it is.

    Args:
        photo: the photo that was recorded; a path or an array too.
        heat: values and where they lie.
        colormap: a matplotlib name.
        alpha: 0 shows the photo alone, 1 the heatmap alone.
        smooth: interpolate between patch centres, or draw each patch as one block.
        scale: values drawn as the lowest and the highest colour; the map's own smallest and
            largest by default. Give the same to several maps to compare them.

    Returns:
        RGB image of the photo's own size.

    Raises:
        VitvizError: if alpha or the scale is out of range, or there is no such colour map.
        ImageError: if the photo is not readable.

    Warns:
        VitvizWarning: if the map shows nothing (see `Heatmap.notice`), or was made from another
            photo, or from the same one in another size (see `Heatmap.scaled`).

    Examples:
        >>> overlay(photo, heat, colormap="viridis").size == photo.size
        True
    """
    if not 0 <= alpha <= 1:
        raise VitvizError(
            "alpha_out_of_range", "alpha must be from 0 to 1, not {alpha}.", alpha=alpha
        )
    if scale is not None and not np.isfinite(scale).all():
        raise VitvizError(
            "scale_not_finite",
            "The scale is a lowest and a highest value, not {scale}.",
            scale=scale,
        )
    result = as_photo(photo).copy()
    if heat.notice:
        warnings.warn(str(heat.notice), VitvizWarning, stacklevel=3)  # past `checked`
    if heat.fingerprint and not heat.fingerprint.fits(result):
        warnings.warn(OTHER_PHOTO, VitvizWarning, stacklevel=3)  # past `checked`
    values, (x0, y0, x1, y1) = on_photo(heat, result.size, smooth=smooth)
    colours = colorize(values, colormap, heat.range if scale is None else scale)
    under = result.crop((x0, y0, x1, y1))
    result.paste(Image.blend(under, Image.fromarray(colours), alpha), (x0, y0))
    return result


def on_photo(
    heat: Heatmap, size: tuple[int, int], *, smooth: bool = True
) -> tuple[NDArray[np.float32], tuple[int, int, int, int]]:
    """The map in pixels of its photo.

    Args:
        heat: values and where they lie.
        size: (width, height) of the photo.
        smooth: interpolate bilinearly between patch centres, or repeat each patch's value.

    Returns:
        Values (y1 - y0, x1 - x0) and (x0, y0, x1, y1), the photo's pixels they belong to: those
        whose centre lies in the box.
    """
    left, top, right, bottom = heat.box
    width, height = size
    # Padding can reach beyond the photo.
    x0, x1 = max(0, math.ceil(left - 0.5)), min(width, math.ceil(right - 0.5))
    y0, y1 = max(0, math.ceil(top - 0.5)), min(height, math.ceil(bottom - 0.5))
    if x0 >= x1 or y0 >= y1:
        raise VitvizError(
            "map_off_photo",
            "The heatmap covers {box} and the photo is {width} × {height} px; give the photo that "
            "was recorded.",
            box=tuple(map(round, heat.box)),
            width=width,
            height=height,
        )
    rows, cols = heat.values.shape
    x_scale, y_scale = cols / (right - left), rows / (bottom - top)
    source = (  # the same pixels in patch units
        max(0.0, (x0 - left) * x_scale),
        max(0.0, (y0 - top) * y_scale),
        min(cols, (x1 - left) * x_scale),
        min(rows, (y1 - top) * y_scale),
    )
    resampling = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    values = Image.fromarray(heat.values).resize((x1 - x0, y1 - y0), resampling, box=source)
    return np.asarray(values), (x0, y0, x1, y1)


def colorize(
    values: NDArray[np.float32], colormap: str, scale: tuple[float, float]
) -> NDArray[np.uint8]:
    """Values → RGB bytes (…, 3); below and above the scale the end colours are used."""
    if colormap not in matplotlib.colormaps:
        raise VitvizError(
            "no_such_colormap",
            "There is no colour map “{colormap}”; try {colormaps}.",
            colormap=colormap,
            colormaps=", ".join(COLORMAPS),
        )
    low, high = scale
    position = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    rgba: NDArray[np.uint8] = matplotlib.colormaps[colormap](position, bytes=True)
    return rgba[..., :3]


@checked
def shared_scale(maps: Iterable[Heatmap]) -> tuple[float, float]:
    """One scale for maps that are compared: from 0 to the value that 99.5 % of all patches do
    not exceed. The few above it have the last colour; a single one would leave the rest dark."""
    return 0.0, float(np.quantile(np.concatenate([heat.values.ravel() for heat in maps]), 0.995))


@checked
def mark_patch(picture: Image.Image, heat: Heatmap, patch: tuple[int, int]) -> Image.Image:
    """The picture with an outline around one patch, (row, col)."""
    left, top, right, bottom = heat.box
    rows, cols = heat.values.shape
    width, height = (right - left) / cols, (bottom - top) / rows
    x, y = left + patch[1] * width, top + patch[0] * height
    line = max(2, round(max(picture.size) / 300))
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    for colour, inset in (("black", 0), ("white", line)):  # seen on dark and on bright ground
        corners = (x + inset, y + inset, x + width - inset, y + height - inset)
        draw.rectangle(corners, outline=colour, width=line)
    return marked
