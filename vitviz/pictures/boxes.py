"""Boxes → picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from vitviz.heatmap import Box

__all__ = ["draw_boxes"]


def draw_boxes(picture: Image.Image, boxes: Sequence[tuple[Box, str]]) -> Image.Image:
    """The picture with the outlines of some boxes, each with its colour.

    Args:
        picture: RGB.
        boxes: in its pixels, and a colour's name or #rrggbb.
    """
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    line = max(2, round(max(picture.size) / 130))
    for (left, top, right, bottom), colour in boxes:
        for shade, inset in (("black", 0), (colour, line // 2)):  # seen on any ground
            corners = (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset)
            draw.rectangle(corners, outline=shade, width=line)
    return marked
