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
from PIL import ExifTags, Image, UnidentifiedImageError, features

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

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
EIGHT_OF_SIXTEEN_BITS = np.rint(np.arange(2**16) / 257).astype(np.uint8)

NOT_AN_IMAGE = (
    "This is not an image that can be opened here; "
    "use JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC."
)
BROKEN = "The image is broken or cut off; save or send it again."
TOO_LARGE = f"The file is larger than {MAX_BYTES >> 20} MB; save a smaller copy."
TOO_MANY_PIXELS = f"The image has more than {MAX_PIXELS // 10**6} megapixels; save a smaller copy."


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
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image)
        return _to_rgb(_upright(image))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(NOT_AN_IMAGE) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(TOO_MANY_PIXELS) from error
    except Exception as error:  # decoders raise almost anything, from struct.error to RuntimeError
        raise ImageError(BROKEN) from error


def _read(source: str | Path | bytes | BinaryIO) -> bytes:
    try:
        if isinstance(source, (str, Path)):
            if Path(source).stat().st_size > MAX_BYTES:
                raise ImageError(TOO_LARGE)
            with Path(source).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        else:
            data = source if isinstance(source, bytes) else source.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: an impossible path, a closed file
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise ImageError(f"The file cannot be read: {reason}.") from error
    if len(data) > MAX_BYTES:
        raise ImageError(TOO_LARGE)
    return data


def _check_size(image: Image.Image) -> None:
    """Refuse by what the header says, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(TOO_MANY_PIXELS)
    if min(image.size) < MIN_SIDE:
        raise ImageError(
            f"The image is {image.width} × {image.height} px, smaller than one patch; "
            f"use at least {MIN_SIDE} × {MIN_SIDE} px."
        )


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. `ImageOps.exif_transpose` also rewrites the EXIF data and so fails on
    photos whose other tags are damaged."""
    image.load()  # before EXIF is read: TIFF and HEIC turn themselves and then say so
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # unreadable EXIF does not spoil the picture
        return image
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode. Pillow's own conversion saturates more than 8 bits and shows what
    transparency hides."""
    if image.mode.startswith("I;16"):
        grey = EIGHT_OF_SIXTEEN_BITS[np.asarray(image, np.uint16)]
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.array(image, np.float64))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Numbers without an agreed range, from their smallest to their largest as 0 to 255; works in
    place. NaN becomes 0."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low = values.min(where=finite, initial=np.inf)
    high = values.max(where=finite, initial=-np.inf)
    np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
    values -= low
    values *= 255 / ((high - low) or 1.0)
    return np.rint(values, out=values).astype(np.uint8)


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
