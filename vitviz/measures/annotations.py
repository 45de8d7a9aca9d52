"""Boxes and masks of objects, as people drew them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import VitvizError
from vitviz.heatmap import Box
from vitviz.measures.metrics import METRICS
from vitviz.measures.results import read_text
from vitviz.models.weights import tensor_hash
from vitviz.photos.load import load_image

__all__ = ["read_boxes"]

Known = Mapping[str | None, Any]
"""A photo's box and mask by those names, as far as they are needed; None under None."""


@checked
def read_boxes(file: str | Path) -> dict[str, Box]:
    """Boxes by photo from a CSV file with the columns file, x0, y0, x1, y1, in the photo's pixels.

    Raises:
        VitvizError: if the file cannot be read, lacks a column, holds something else than numbers,
            an empty box, or two boxes for one photo.
    """
    boxes: dict[str, Box] = {}
    rows = csv.DictReader(io.StringIO(read_text(Path(file)), newline=""))
    for number, row in enumerate(rows, start=2):
        try:
            x0, y0, x1, y1 = (float(row[side]) for side in ("x0", "y0", "x1", "y1"))
            name = row["file"]
        except (KeyError, TypeError, ValueError) as error:
            raise VitvizError(
                "line_is_no_box",
                "Line {line} of {file} is not a box; give file,x0,y0,x1,y1 with numbers.",
                line=number,
                file=file,
            ) from error
        if name in boxes:
            raise VitvizError(
                "second_box",
                "Line {line} of {file} is a second box for its photo; give one box a photo.",
                line=number,
                file=file,
            )
        if not (x0 < x1 and y0 < y1):
            raise VitvizError(
                "empty_box",
                "Line {line} of {file} is an empty box; give one box a photo.",
                line=number,
                file=file,
            )
        boxes[name] = (x0, y0, x1, y1)
    return boxes


def known_of(
    name: str,
    photo: Image.Image,
    metrics: Sequence[str],
    boxes: Mapping[str, Box] | None,
    masks: str | Path | None,
) -> Known:
    """The photo's box and mask, as far as the metrics need them."""
    needed = {METRICS[metric].needs for metric in metrics}
    known: dict[str | None, Any] = {None: None}
    if "box" in needed and boxes is not None:
        if name not in boxes:
            raise VitvizError("no_box_for_photo", "There is no box for this photo; add its line.")
        known["box"] = boxes[name]
    if "mask" in needed and masks is not None:
        mask = _load_mask((Path(masks) / name).with_suffix(".png"))
        if mask.size != photo.size:
            raise VitvizError(
                "mask_size_differs",
                "The mask is {mask} and the photo {photo} px; resize it.",
                mask=mask.size,
                photo=photo.size,
            )
        known["mask"] = np.asarray(mask).any(axis=-1)
    return known


def _load_mask(file: Path) -> Image.Image:
    """A mask's colours; transparency would say in a second way what is object and what is not."""
    mask = load_image(file)
    with Image.open(file) as raw:
        if raw.has_transparency_data:
            raise VitvizError(
                "transparent_mask", "The mask has transparency; save it as black and white."
            )
    return mask


def digest(photo: Image.Image, pixels: Tensor, known: Known) -> str:
    """Hash of a photo, of what the model's transform makes of it, and of what is known of it."""
    mask = known.get("mask")
    found = hashlib.sha256(f"{photo.size} {known.get('box')}".encode())
    found.update(photo.tobytes())
    found.update(tensor_hash([("pixels", pixels)]).encode())
    found.update(b"" if mask is None else mask.tobytes())
    return found.hexdigest()
