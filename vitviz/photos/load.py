"""Open untrusted image files safely."""

from __future__ import annotations

import io
from contextlib import suppress
from importlib.util import find_spec
from math import sqrt
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError, features

from vitviz.arguments import checked
from vitviz.errors import ImageError, in_a_line
from vitviz.photos.jpeg import scan_count
from vitviz.photos.pixels import rgb_of
from vitviz.photos.webp import webp_size

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "REDUCED",
    "SUFFIXES",
    "load_image",
    "not_read",
    "open_image",
    "too_costly",
    "too_large",
]

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 14  # one patch of the bundled model, px
MAX_SCANS = 100  # of a JPEG; programs write about ten, and each costs a pass over all pixels
MAX_RATIO = 20  # of the sides; models enlarge the shorter one to their input, and so the longer
SUFFIXES = {
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
}  # fmt: skip

REDUCED = "reduced"
"""In a picture's `info`: how many times narrower and lower it is than its file."""

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]  # and HEIC, see `_open`
if features.check("avif"):
    FORMATS.append("AVIF")

PhotoFile = str | Path | bytes | bytearray | memoryview | BinaryIO

HEIC = (b"ftyphei", b"ftyphev", b"ftypmif", b"ftypmsf")  # how such a file begins, from its byte 4
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")


@checked
def load_image(source: PhotoFile) -> Image.Image:
    """Open a photo as an upright RGB image, without metadata.

    EXIF orientation is applied, colours are converted to sRGB as the file means them, HDR's light
    is rolled off to white, transparency is laid over white, 16-bit grey is scaled to 8 bits, an
    animation gives its first frame.

    Grey of 16 bits that uses less than a quarter of them, such as 12-bit values, and numbers
    without an agreed range are stretched; then `info["stretched"]` holds what is shown as black and
    as white.

    Args:
        source: path, the file's bytes, or a binary file object, read from where it stands.

    Raises:
        ImageError: with one sentence that says what is wrong with the file.

    Examples:
        >>> photo = load_image(samples()[0].path)
        >>> photo.mode, photo.size
        ('RGB', (451, 300))
    """
    return open_image(_read(source))


def open_image(
    data: bytes, most_pixels: int = MAX_PIXELS, most_of_webp: int = MAX_PIXELS
) -> Image.Image:
    """The same of a file's bytes; a photo of more pixels at a whole part of its size.

    Then `info["reduced"]` says at which: 2 is half as wide and half as high.

    Args:
        most_of_webp: pixels of a WebP: its decoder takes three times the memory of others.

    Raises:
        ImageError: as `load_image`.
    """
    try:
        _check_webp(data, most_of_webp)
        image = _open(data)
        _check_size(image)
        _check_scans(image, data)
        pixels = image.width * image.height
        photo = rgb_of(image, data, most_pixels)
        part = round(sqrt(pixels / (photo.width * photo.height)))
        if part > 1:
            photo.info[REDUCED] = part
        return photo
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        if data.startswith(BEGINNINGS) or data[8:12] == b"WEBP":
            raise _broken() from error
        raise ImageError(
            "not_an_image",
            "This is not an image that can be opened here; use JPEG, PNG, WebP, "
            "GIF, BMP, TIFF, AVIF or HEIC.",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except MemoryError as error:
        raise too_costly() from error
    except Exception as error:  # decoders raise almost anything, from struct.error to RuntimeError
        raise _broken() from error


def not_read(error: Exception) -> ImageError:
    """The error for a file whose bytes cannot be had."""
    reason = getattr(error, "strerror", None) or in_a_line(error)
    return ImageError("file_not_read", "The file cannot be read: {reason}.", reason=reason)


def too_large() -> ImageError:
    """The error for a file that is larger than MAX_BYTES."""
    return ImageError(
        "file_too_large",
        "The file is larger than {size} MB; save a smaller copy.",
        size=MAX_BYTES >> 20,
    )


def too_costly() -> ImageError:
    """The error for a file that is made, or so large, that opening it must be stopped."""
    return ImageError(
        "image_too_costly",
        "The image takes too much time or memory to open; save it again, smaller or in another "
        "format.",
    )


def _broken() -> ImageError:
    """The error for a file that a decoder fails on."""
    return ImageError("broken_image", "The image is broken or cut off; save or send it again.")


def _too_many_pixels() -> ImageError:
    return ImageError(
        "too_many_pixels",
        "The image has more than {count} megapixels; save a smaller copy.",
        count=MAX_PIXELS // 10**6,
    )


def _open_as_text() -> ImageError:
    return ImageError(
        "open_as_text", "The file is open as text; open it as binary, with mode “rb”."
    )


def _read(source: PhotoFile) -> bytes:
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
        elif isinstance(source, (str, Path)):
            if Path(source).stat().st_size > MAX_BYTES:
                raise too_large()
            with Path(source).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        else:
            data = source.read(MAX_BYTES + 1)
    except UnicodeDecodeError as error:
        raise _open_as_text() from error
    except (OSError, ValueError) as error:  # ValueError: an impossible path, a closed file
        raise not_read(error) from error
    if isinstance(data, str):
        raise _open_as_text()
    if len(data) > MAX_BYTES:
        raise too_large()
    return data


def _open(data: bytes) -> Image.Image:
    """The image, its pixels not decoded yet. HEIC has no opener in Pillow, and registering one
    would change `Image.open` for the whole process."""
    if data[4:11] in HEIC:
        if not find_spec("pillow_heif"):
            raise ImageError(
                "no_heic",
                "HEIC photos need pillow-heif; pip install 'vitviz[heic]', or save this one as "
                "JPEG.",
            )
        from pillow_heif import HeifImageFile  # an extra

        with suppress(SyntaxError):  # it may be AVIF under a common name
            return HeifImageFile(io.BytesIO(data))
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _check_size(image: Image.Image) -> None:
    """Refuse by what the header says, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()
    if min(image.size) < MIN_SIDE:
        raise ImageError(
            "image_too_small",
            "The image is {width} × {height} px, smaller than one patch; use at least "
            "{least} × {least} px.",
            width=image.width,
            height=image.height,
            least=MIN_SIDE,
        )
    if max(image.size) > MAX_RATIO * min(image.size):
        raise ImageError(
            "image_too_long",
            "The image is {width} × {height} px, more than {ratio} times as long as wide; crop it.",
            width=image.width,
            height=image.height,
            ratio=MAX_RATIO,
        )


def _check_webp(data: bytes, most: int) -> None:
    """Before it is opened: its decoder takes memory for all pixels at once."""
    width, height = webp_size(data) or (0, 0)
    if width * height > most:
        raise ImageError(
            "webp_too_many_pixels",
            "The WebP has more than {count} megapixels, which takes too much memory to open; save "
            "a smaller copy, or as JPEG.",
            count=most // 10**6,
        )


def _check_scans(image: Image.Image, data: bytes) -> None:
    """Refuse a JPEG whose decoder would be kept busy for minutes, before anything is decoded."""
    if image.format not in ("JPEG", "MPO"):
        return
    if scan_count(data, MAX_SCANS + 1) > MAX_SCANS:
        raise ImageError(
            "too_many_scans",
            "The JPEG is built up in more than {most} passes over the picture; save it again.",
            most=MAX_SCANS,
        )
