"""A recording, and a heatmap, show themselves in a notebook."""

from __future__ import annotations

from html import escape
from io import BytesIO

from PIL import Image

from vitviz.errors import MethodError
from vitviz.heatmap import Heatmap
from vitviz.journey.document import seen
from vitviz.journey.page import COLORMAP, page
from vitviz.methods.made_from import recording_of
from vitviz.pictures.export import write_png
from vitviz.pictures.overlay import colorize, overlay
from vitviz.recording.recording import Recording

__all__ = ["as_html", "as_png"]

SIDE = 448  # px of the longer side of a picture that is enlarged, or of a little less
MOST = 800  # px of a photo's longer side, which stays in the notebook's file


def as_html(rec: Recording) -> str:
    """A recording's journey in a frame of its own, or why it has none.

    Examples:
        >>> as_html(rec)[:7]
        '<iframe'
    """
    try:
        shown = escape(page(rec))
    except MethodError as error:
        return f"<p>{escape(str(error))}</p>"
    return f'<iframe srcdoc="{shown}" style="width: 100%; height: 680px; border: 0"></iframe>'


def as_png(heat: Heatmap) -> bytes:
    """A heatmap over its photo, as long as its recording is held; over what the model was given
    where that was no photo, and its colours alone where nobody knows what it is a map of.

    Examples:
        >>> as_png(heat)[:4]
        b'\x89PNG'
    """
    rec = recording_of(heat.made_from) if heat.made_from else None
    file = BytesIO()
    write_png(_colours(heat) if rec is None else _over(heat, rec), file)
    return file.getvalue()


def _over(heat: Heatmap, rec: Recording) -> Image.Image:
    # The same input may have been made from this photo in another size.
    if rec.photo is None or not (heat.fingerprint and heat.fingerprint.fits(rec.photo)):
        return _over_input(heat, seen(rec))
    factor = min(1.0, MOST / max(rec.photo.size))
    size = round(factor * rec.photo.width), round(factor * rec.photo.height)
    return overlay(rec.photo.resize(size, Image.Resampling.LANCZOS), heat.scaled(factor))


def _over_input(heat: Heatmap, given: Image.Image) -> Image.Image:
    given = _enlarged(given, Image.Resampling.LANCZOS)
    return overlay(given, Heatmap(heat.values, (0, 0, *given.size), heat.method))


def _colours(heat: Heatmap) -> Image.Image:
    return _enlarged(
        Image.fromarray(colorize(heat.values, COLORMAP, heat.range)), Image.Resampling.NEAREST
    )


def _enlarged(picture: Image.Image, how: Image.Resampling) -> Image.Image:
    times = max(1, SIDE // max(picture.size))
    return picture.resize((times * picture.width, times * picture.height), how)
