"""Many heatmaps of one photo → one figure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image, ImageOps

from vitviz.arguments import checked
from vitviz.heatmap import Heatmap
from vitviz.pictures.overlay import overlay

__all__ = ["grid_figure"]

PANEL = 1.3  # inches
PIXELS = 256  # of a panel's longer side


@checked
def grid_figure(
    photo: Image.Image,
    maps: Sequence[Sequence[Heatmap]],
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    *,
    colormap: str = "inferno",
    alpha: float = 0.6,
    smooth: bool = True,
    scale: tuple[float, float] | None = None,
) -> Figure:
    """Rows × columns of overlays on the part of the photo that the model saw.

    Args:
        maps: as many rows as `row_titles`, each as long as `column_titles`.
        scale: values of the lowest and highest colour of all panels, shown as a colour bar; None
            gives every panel its own smallest and largest value.
    """
    factor = PIXELS / max(photo.size)
    small = ImageOps.contain(photo, (PIXELS, PIXELS))
    left, top, right, bottom = (round(factor * edge) for edge in maps[0][0].box)
    height = PANEL * (bottom - top) / (right - left)
    figure = Figure(
        (PANEL * len(column_titles) + 1, height * len(row_titles) + 0.5), layout="constrained"
    )
    axes = figure.subplots(len(row_titles), len(column_titles), squeeze=False)
    for row, title, panels in zip(axes, row_titles, maps, strict=True):
        row[0].set_ylabel(title, fontsize=9, fontfamily=families())
        for axis, heat in zip(row, panels, strict=True):
            picture = overlay(
                small, heat.scaled(factor), colormap, alpha, smooth=smooth, scale=scale
            )
            axis.imshow(picture.crop((left, top, right, bottom)))
            axis.set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], column_titles, strict=True):
        axis.set_title(title, fontsize=9, fontfamily=families())
    if scale:
        colours = ScalarMappable(Normalize(*scale), colormap)
        figure.colorbar(colours, ax=axes, location="bottom", fraction=0.02, aspect=60)
    return figure


@cache
def families() -> list[str]:
    """Fonts for titles, the first that has a character: matplotlib's own, then one with Chinese."""
    package = find_spec("zhplot")  # only its font is used; importing it would change every figure
    assert package is not None
    assert package.origin is not None
    fontManager.addfont(Path(package.origin).parent / "fonts" / "NotoSansSC-Regular.ttf")
    return ["DejaVu Sans", "Noto Sans SC"]
