"""Open untrusted image files safely, and the built-in samples."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from vitviz.errors import ImageError

__all__ = ["MAX_BYTES", "MAX_PIXELS", "MIN_SIDE", "Sample", "load_image", "samples"]

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 14  # one patch of the bundled model, px
SAMPLES_DIR = Path(__file__).resolve().parent.parent / "assets" / "samples"

pillow_heif.register_heif_opener()
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF"]
if features.check("avif"):
    FORMATS.append("AVIF")

DECODING_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, EOFError)


def load_image(source: str | Path | bytes | BinaryIO) -> Image.Image:
    """Open a photo as an upright RGB image.

    EXIF orientation is applied, transparency is laid over white, 16-bit grey is scaled to 8 bits,
    an animation gives its first frame.

    Args:
        source: path, the file's bytes, or a binary file object, read from where it stands.

    Raises:
        ImageError: with one sentence that says what is wrong with the file.
    """
    data = _read(source)
    if len(data) > MAX_BYTES:
        raise ImageError(f"The file is larger than {MAX_BYTES >> 20} MB; save a smaller copy.")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(
            "This is not an image that can be opened here; "
            "use JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_many_pixels()) from error
    except DECODING_ERRORS as error:
        raise ImageError("The image is broken or cut off; save or send it again.") from error
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(_too_many_pixels())
    if min(image.size) < MIN_SIDE:
        raise ImageError(
            f"The image is {image.width} × {image.height} px, smaller than one patch; "
            f"use at least {MIN_SIDE} × {MIN_SIDE} px."
        )
    try:
        return _to_rgb(ImageOps.exif_transpose(image))
    except DECODING_ERRORS as error:
        raise ImageError("The image is broken or cut off; save or send it again.") from error


def _too_many_pixels() -> str:
    return f"The image has more than {MAX_PIXELS // 10**6} megapixels; save a smaller copy."


def _read(source: str | Path | bytes | BinaryIO) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (str, Path)):
        return source.read(MAX_BYTES + 1)
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path no file can have
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"The file cannot be read: {reason}.") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode. Pillow's own conversion saturates more than 8 bits and shows what
    transparency hides."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(
            (np.asarray(image, np.uint16) / 257).round().astype(np.uint8)
        ).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image, np.float64))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Numbers without an agreed range, from their smallest to their largest as 0 to 255."""
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 1.0)
    filled = np.where(finite, values, low)
    return np.rint((filled - low) / ((high - low) or 1.0) * 255).astype(np.uint8)


@dataclass(frozen=True)
class Sample:
    """A photo that comes with Vitviz."""

    id: str
    title: str
    path: Path
    credit: str
    alt: str


def samples() -> list[Sample]:
    """The built-in photos in the order of `assets/samples/credits.json`."""
    rows = json.loads((SAMPLES_DIR / "credits.json").read_text(encoding="utf-8"))
    return [
        Sample(row["id"], row["title"], SAMPLES_DIR / row["file"], row["credit"], row["alt"])
        for row in rows
    ]
