"""Boxes → picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from vitviz.heatmap import Box

__all__ = ["draw_boxes"]


def draw_boxes(
    picture: Image.Image,
    boxes: Sequence[tuple[Box, str]],
    dashed: Sequence[tuple[Box, str]] = (),
) -> Image.Image:
    """The picture with the outlines of some boxes, each with its colour.

    Args:
        picture: RGB.
        boxes: in its pixels, and a colour's name or #rrggbb.
        dashed: to be told from the others without colours; they lie below.
    """
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    line = max(2, round(max(picture.size) / 130))
    for box, colour in dashed:
        for shade, width in (("black", 2 * line), (colour, line)):
            for dash in _dashes(box, 5 * line):
                draw.line(dash, fill=shade, width=width)
    for (left, top, right, bottom), colour in boxes:
        for shade, inset in (("black", 0), (colour, line // 2)):  # seen on any ground
            first = left + inset, top + inset
            last = map(max, first, (right - 1 - inset, bottom - 1 - inset))  # of a flat box too
            draw.rectangle((*first, *last), outline=shade, width=line)
    return marked


def _dashes(box: Box, length: int) -> Iterator[tuple[float, float, float, float]]:
    """A box's outline in dashes of about such a length and gaps as long, with its corners."""
    left, top, right, bottom = box
    corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    for (x, y), (to_x, to_y) in pairwise(corners):
        count = 2 * round((abs(to_x - x) + abs(to_y - y)) / (2 * length)) + 1
        for i in range(0, count, 2):
            (start, end) = (i / count, (i + 1) / count)
            yield (
                x + start * (to_x - x),
                y + start * (to_y - y),
                x + end * (to_x - x),
                y + end * (to_y - y),
            )
