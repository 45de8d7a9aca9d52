"""Open untrusted image files safely."""

from __future__ import annotations

import io
from contextlib import suppress
from importlib.util import find_spec
from math import ceil, sqrt
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError, features
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngImageFile

from vitviz.arguments import checked
from vitviz.errors import ImageError, in_a_line
from vitviz.photos.colours import Space, space_of, to_srgb
from vitviz.photos.depth import STRETCHED, eight_bits
from vitviz.photos.jpeg import ended, scan_count
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

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Source = str | Path | bytes | bytearray | memoryview | BinaryIO
Box = tuple[int, int, int, int]

HEIC = (b"ftyphei", b"ftyphev", b"ftypmif", b"ftypmsf")  # how such a file begins, from its byte 4
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")


@checked
def load_image(source: Source) -> Image.Image:
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
        _scale_transparent_colour(image)
        space, frame = space_of(image, data), _first_frame(image, data)
        pixels = image.width * image.height
        part = ceil(sqrt(pixels / most_pixels))
        image.draft(image.mode, (image.width // part, image.height // part))
        image = _reduced(_outside_transparent(_decoded(image, data), frame), most_pixels)
        part = round(sqrt(pixels / (image.width * image.height)))
        photo = _to_rgb(_upright(image), space)
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


def _read(source: Source) -> bytes:
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


def _scale_transparent_colour(image: Image.Image) -> None:
    """PNG names its transparent colour in the file's own bits, and Pillow compares it with 8. Of 16
    bits a channel Pillow keeps the upper 8, so colours that differ in the lower ones are alike."""
    colour = image.info.get("transparency")
    if not isinstance(image, PngImageFile) or colour is None or not image.tile:
        return
    bits = image.tile[0].args
    if bits in ("L;2", "L;4"):
        image.info["transparency"] = colour * (85 if bits == "L;2" else 17)
    elif bits == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _decoded(image: Image.Image, data: bytes) -> Image.Image:
    """With its pixels. A JPEG may lack its end marker, if nothing else is missing."""
    try:
        image.load()
    except OSError:
        if image.format not in ("JPEG", "MPO"):
            raise
        if (whole := ended(data)) is None:
            raise
        return whole
    return image


def _reduced(image: Image.Image, most_pixels: int) -> Image.Image:
    """Made smaller where it still has too many pixels: only JPEG is decoded smaller."""
    part = ceil(sqrt(image.width * image.height / most_pixels))
    if part == 1:
        return image
    if image.mode.startswith("I;16"):  # which Pillow does not reduce
        image = eight_bits(image)
    image = _with_alpha(image)
    return (image.convert("RGB") if image.mode in ("1", "P") else image).reduce(part)


def _with_alpha(image: Image.Image) -> Image.Image:
    """What is transparent by a colour of its own, by a channel of its own."""
    if not image.has_transparency_data or image.mode in ("LA", "RGBA"):  # or it would be copied
        return image
    return image.convert("LA" if Image.getmodebase(image.mode) == "L" else "RGBA")


def _first_frame(image: Image.Image, data: bytes) -> Box | None:
    """Where an animation's first frame lies, (x0, y0, x1, y1), before it is decoded."""
    if isinstance(image, GifImageFile) and image.tile:
        return image.tile[0].extents
    if image.format == "WEBP" and (place := data.find(b"ANMF")) >= 0:
        left, top, width, height = (
            int.from_bytes(data[at : at + 3], "little") for at in range(place + 8, place + 20, 3)
        )
        return 2 * left, 2 * top, 2 * left + width + 1, 2 * top + height + 1
    return None


def _outside_transparent(image: Image.Image, frame: Box | None) -> Image.Image:
    """Where the first frame does not fill the canvas, there is nothing."""
    if frame in (None, (0, 0, *image.size)):
        return image
    filled = Image.new("RGBA", image.size)
    filled.paste(image.convert("RGBA").crop(frame), frame)
    filled.info = image.info
    return filled


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. `ImageOps.exif_transpose` also rewrites the EXIF data and so fails on
    photos whose other tags are damaged. TIFF and HEIC, once decoded, have turned themselves."""
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # unreadable EXIF does not spoil the picture
        return image
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image, space: Space) -> Image.Image:
    """8-bit sRGB of any mode, over white where it is transparent."""
    image = eight_bits(image)
    stretched = image.info.get(STRETCHED)
    if not image.has_transparency_data:
        rgb = to_srgb(image, space)
    else:
        image = _with_alpha(image)
        white = Image.new("RGB", image.size, "white")
        rgb = Image.composite(to_srgb(image, space), white, image.getchannel("A"))
    # Saved with the picture, its profile and orientation would apply once more.
    rgb.info = {} if stretched is None else {STRETCHED: stretched}
    return rgb
