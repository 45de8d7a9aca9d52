"""Many heatmaps → one figure, as papers print it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from vitviz.arguments import checked
from vitviz.errors import VitvizError
from vitviz.files import whole_file
from vitviz.heatmap import Box, Heatmap, Scale
from vitviz.photos.given import PhotoLike, as_photo
from vitviz.pictures.grid import Grid, draw_bar
from vitviz.pictures.letters import check_letters
from vitviz.pictures.overlay import overlay, shared_scale

__all__ = [
    "WIDTHS",
    "check_ending",
    "comparable",
    "draw_figure",
    "ends_of",
    "figure",
    "meaning",
    "save_figure",
]

WIDTHS: dict[str, float] = {
    "cvpr-column": 3.25,
    "cvpr-page": 6.875,
    "icml-column": 3.25,
    "icml-page": 6.75,
    "neurips": 5.5,
    "nature-column": 89 / 25.4,
    "nature-page": 183 / 25.4,
}
"""Widths of a column and of a page's text in inches, as the venues' templates have them."""

ENDINGS = (".pdf", ".svg", ".png")
MOST_IN_COLUMN = 3  # panels side by side in a figure whose width nobody chose
DPI = 300  # of panels, and of a figure that is pixels

Row = Sequence[Heatmap | None] | Mapping[Any, Heatmap | None]
Heats = Heatmap | Row | Sequence[Row] | Mapping[Any, Row]
Titled = dict[str | int, Heatmap | None]  # a number is no title

_writing = threading.Lock()


@checked
def figure(
    photo: PhotoLike | Sequence[PhotoLike],
    heats: Heats,
    path: str | PathLike[str],
    *,
    width: float | str | None = None,
    colormap: str = "inferno",
    alpha: float = 0.5,
    smooth: bool = True,
    scale: tuple[float, float] | Literal["shared", "own"] = "shared",
) -> None:
    """Write a grid of overlays with titles and one colour bar, ready for a paper.

    Each panel shows the part of the photo that the model saw. All have one scale, so that equal
    colours are equal numbers; maps of different methods, whose units differ, are drawn in shares of
    each map's sum. The bar says which. Letters are 7 pt on paper; in a PDF they are TrueType
    (Type 42), in an SVG text. Panels have 300 pixels an inch, or all that the photo has.

    While the file is written matplotlib's settings for letters in PDF and SVG are Vitviz's, for all
    threads; then they are as before.

    Args:
        photo: the photo of all rows, or a list with one for each row; of a single row also one for
            each of its maps, such as the frames of a video.
        heats: a heatmap; a list of them, which is one row; or a list of rows. Dicts instead of
            lists give rows and columns their titles. None is the photo alone; where a row lacks a
            column, its place stays empty.
        path: NAME.pdf, NAME.svg or NAME.png.
        width: in inches, or one of the venues' in `WIDTHS`: “cvpr-column” and “icml-column” (3.25),
            “cvpr-page” (6.875), “icml-page” (6.75), “neurips” (5.5), “nature-column” (3.5),
            “nature-page” (7.2). Without one, 3.25 for up to three columns and 6.75 for more.
        colormap, alpha, smooth: as for `overlay`.
        scale: “shared”, from 0 to what 99.5 % of all patches do not exceed; “own”, each panel from
            its smallest to its largest value; or the lowest and the highest value.

    Raises:
        VitvizError: if there is no heatmap, or not a photo for each row; for another ending, width
            or scale; for letters in a title that the figure's fonts do not have; or if the file
            cannot be written.
        ImageError: if a photo is not readable.

    Warns:
        VitvizWarning: as `overlay`.

    Examples:
        >>> heats = {name: explain(rec, name) for name in ("attention", "rollout")}
        >>> figure(photo, heats, "methods.pdf", width="neurips")
        >>> layers = {f"layer {n}": explain(rec, "attention", layer=n) for n in (0, 6, 11)}
        >>> figure(photo, {"cat": {"photo": None, **layers}}, "layers.svg")
    """
    check_ending(file := Path(path))
    drawn = draw_figure(
        photo, heats, width=width, colormap=colormap, alpha=alpha, smooth=smooth, scale=scale
    )
    with whole_file(file) as opened:
        save_figure(drawn, opened, file.suffix.lower().removeprefix("."))


def check_ending(file: Path) -> None:
    """Nothing, if a figure can be such a file; VitvizError otherwise."""
    if file.suffix.lower() not in ENDINGS:
        raise VitvizError(
            "figure_file_ending",
            "A figure is a file NAME.pdf, NAME.svg or NAME.png, not {file}.",
            file=file.name,
        )


def draw_figure(
    photo: PhotoLike | Sequence[PhotoLike],
    heats: Heats,
    *,
    width: float | str | None = None,
    colormap: str = "inferno",
    alpha: float = 0.5,
    smooth: bool = True,
    scale: Scale | str = "shared",
    label: str | None = None,
) -> Figure:
    """The figure of `figure`; `label` is what is said of the colour bar, instead of its own
    words."""
    rows = _rows(heats)
    photos = _photos(photo, [len(row) for row in rows.values()])
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    check_letters([title for title in (*rows, *columns, label) if isinstance(title, str)])
    maps = [heat for row in rows.values() for heat in row.values() if heat]
    shown = dict(zip(map(id, maps), comparable(maps), strict=True))
    ends = ends_of(scale, list(shown.values()))
    boxes = [_box(title, row) for title, row in rows.items()]
    label = label or meaning(maps, scale)
    grid = Grid.fitted(_inches(width, len(columns)), list(rows), columns, boxes, label)
    drawn = Figure((grid.width, grid.height))
    for number, (row, own) in enumerate(zip(rows.values(), photos, strict=True)):
        factor = _factor(boxes[number], grid.panel)
        reduced = {id(whole): _reduced(whole, factor) for whole in own}
        for (column, heat), whole in zip(row.items(), own, strict=True):
            small = reduced[id(whole)]
            box = heat.box if heat else boxes[number]
            if heat:
                placed = shown[id(heat)].scaled(factor)
                picture = overlay(small, placed, colormap, alpha, smooth=smooth, scale=ends)
            else:
                picture = small
            axis = drawn.add_axes(grid.place(number, columns.index(column)))
            axis.imshow(_seen(picture, box, factor))
            axis.set_axis_off()
    grid.write_titles(drawn)
    draw_bar(drawn, grid, ends, colormap, list(shown.values()))
    return drawn


def save_figure(drawn: Figure, file: BinaryIO, kind: str, dpi: int = DPI) -> None:
    """Write a figure in the size that it was drawn for, whatever matplotlib's settings are."""
    for axis in drawn.axes:
        for picture in axis.images:
            picture.set_interpolation("antialiased" if kind == "png" else "none")
    with _letters_as_letters():
        drawn.savefig(file, format=kind, dpi=dpi, facecolor="white", bbox_inches=drawn.bbox_inches)


@contextmanager
def _letters_as_letters() -> Iterator[None]:
    """matplotlib takes these from its settings alone, which all threads share."""
    own: Any = {"pdf.fonttype": 42, "svg.fonttype": "none"}
    with _writing:
        before: Any = {name: matplotlib.rcParams[name] for name in own}
        try:
            matplotlib.rcParams.update(own)
            yield
        finally:
            matplotlib.rcParams.update(before)


def comparable(heats: Sequence[Heatmap]) -> list[Heatmap]:
    """The maps as they are if one method made them all, or in shares of their sums."""
    one = len({heat.method for heat in heats}) == 1
    return list(heats) if one else [heat.shares for heat in heats]


def meaning(heats: Sequence[Heatmap], scale: Scale | str) -> str:
    """What the numbers at a colour bar are."""
    if scale == "own":
        return "each from its own smallest to its own largest value"
    methods = {heat.method for heat in heats}
    return f"{methods.pop()}, of a patch" if len(methods) == 1 else "share of the map’s sum"


def _rows(heats: Heats) -> dict[str | int, Titled]:
    """Rows by their titles, each with its maps by theirs."""
    outer = _titled([heats] if isinstance(heats, Heatmap) else heats)
    is_row = all(isinstance(one, Heatmap | None) for one in outer.values())
    rows: dict[str | int, Titled] = {0: outer}
    if not is_row:
        rows = {title: _titled(row) for title, row in outer.items()}
    if not any(heat for row in rows.values() for heat in row.values()):
        raise VitvizError(
            "figure_without_maps", "A figure needs a heatmap at least; give one, or rows of them."
        )
    return rows


def _titled(given: Any) -> dict[str | int, Any]:
    if isinstance(given, Mapping):
        return {str(title): one for title, one in given.items()}
    return dict(enumerate(given))


def _photos(given: Any, panels: Sequence[int]) -> list[list[Image.Image]]:
    """One for each panel, where rows have so many."""
    if not isinstance(given, list | tuple):
        whole = as_photo(given)
        return [[whole] * count for count in panels]
    if len(panels) == 1 and len(given) == panels[0]:
        return [[as_photo(one) for one in given]]
    if len(given) != len(panels):
        raise VitvizError(
            "photos_and_rows_differ",
            "{photos} photos do not fit rows of maps that are {rows} in number; give one photo for "
            "each row, or one for all; maps one below the other are [[a], [b]].",
            photos=len(given),
            rows=len(panels),
        )
    return [[as_photo(one)] * count for one, count in zip(given, panels, strict=True)]


def _box(title: str | int, row: Titled) -> Box:
    """The part of its photo that a row shows."""
    heat = next((heat for heat in row.values() if heat), None)
    if heat is None:
        raise VitvizError(
            "figure_row_without_maps",
            "The row {title} of the figure has no heatmap; give it one, or leave it out.",
            title=title,
        )
    return heat.box


def _inches(width: float | str | None, columns: int) -> float:
    if width is None:
        return WIDTHS["icml-column" if columns <= MOST_IN_COLUMN else "icml-page"]
    inches = WIDTHS.get(width) if isinstance(width, str) else float(width)
    if inches is None or not 1 <= inches <= 50:
        raise VitvizError(
            "no_such_width",
            "A figure’s width is from 1 to 50 inches, or one of {widths}, not {width}.",
            widths=", ".join(WIDTHS),
            width=width,
        )
    return inches


def ends_of(scale: Scale | str, heats: Sequence[Heatmap]) -> Scale | None:
    """The values of the lowest and the highest colour; None where each panel has its own."""
    if isinstance(scale, str):
        if scale not in ("shared", "own"):
            raise VitvizError(
                "no_such_scale",
                "The scale of a figure is “shared”, “own”, or a lowest and a highest value, not "
                "{scale}.",
                scale=scale,
            )
        return shared_scale(heats) if scale == "shared" else None
    return scale


def _factor(box: Box, inches: float) -> float:
    """How much smaller a photo may be: a panel keeps `DPI`, or all that there is."""
    return min(1.0, (math.ceil(inches * DPI) + 1) / (box[2] - box[0]))


def _reduced(photo: Image.Image, factor: float) -> Image.Image:
    size = round(factor * photo.width), round(factor * photo.height)
    return photo if factor == 1 else photo.resize(size, Image.Resampling.LANCZOS)


def _seen(picture: Image.Image, box: Box, factor: float) -> Image.Image:
    """The part of it in the box, which may reach beyond it."""
    left, top, right, bottom = (round(factor * edge) for edge in box)
    return picture.crop(
        (max(0, left), max(0, top), min(picture.width, right), min(picture.height, bottom))
    )
