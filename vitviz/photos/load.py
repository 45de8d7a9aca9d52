"""Open untrusted image files safely, and the built-in samples."""

from __future__ import annotations

import io
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngImageFile

from vitviz.errors import ImageError

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "SUFFIXES",
    "eight_bits",
    "load_image",
    "too_large",
]

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 14  # one patch of the bundled model, px
MAX_RATIO = 20  # of the sides; models enlarge the shorter one to their input, and so the longer
SUFFIXES = {
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
}  # fmt: skip

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
EIGHT_OF_SIXTEEN_BITS = np.rint(np.arange(2**16) / 257).astype(np.uint8)
PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a colour profile's kind of colours

Source = str | Path | bytes | bytearray | memoryview | BinaryIO

HEIC = (b"ftyphei", b"ftyphev", b"ftypmif", b"ftypmsf")  # how such a file begins, from its byte 4


def load_image(source: Source) -> Image.Image:
    """Open a photo as an upright RGB image, without metadata.

    EXIF orientation is applied, an embedded colour profile is converted to sRGB, transparency is
    laid over white, 16-bit grey is scaled to 8 bits, an animation gives its first frame.

    Args:
        source: path, the file's bytes, or a binary file object, read from where it stands.

    Raises:
        ImageError: with one sentence that says what is wrong with the file.

    Examples:
        >>> photo = load_image(samples()[0].path)
        >>> photo.mode, photo.size
        ('RGB', (451, 300))
    """
    data = _read(source)
    try:
        image = _open(data)
        _check_size(image)
        _scale_transparent_colour(image)
        return _to_rgb(_upright(image))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            "not_an_image",
            "This is not an image that can be opened here; use JPEG, PNG, WebP, "
            "GIF, BMP, TIFF, AVIF or HEIC.",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except Exception as error:  # decoders raise almost anything, from struct.error to RuntimeError
        raise ImageError(
            "broken_image", "The image is broken or cut off; save or send it again."
        ) from error


def too_large() -> ImageError:
    """The error for a file that is larger than MAX_BYTES."""
    return ImageError(
        "file_too_large",
        "The file is larger than {size} MB; save a smaller copy.",
        size=MAX_BYTES >> 20,
    )


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
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise ImageError(
            "file_not_read", "The file cannot be read: {reason}.", reason=reason
        ) from error
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
    """8-bit sRGB of any mode, over white where it is transparent."""
    image = eight_bits(image)
    if not image.has_transparency_data:
        rgb = _to_srgb(image)
    else:
        image = image.convert("LA" if Image.getmodebase(image.mode) == "L" else "RGBA")
        white = Image.new("RGB", image.size, "white")
        rgb = Image.composite(_to_srgb(image), white, image.getchannel("A"))
    rgb.info.clear()  # saved with the picture, its profile and orientation would apply once more
    return rgb


def eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, or of numbers without a range, in 8; Pillow's own conversion saturates."""
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.array(image, np.float64)))
    if not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image, np.uint16)
    grey = Image.fromarray(EIGHT_OF_SIXTEEN_BITS[values])
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray(values != image.info["transparency"]).convert("L"))
    if "icc_profile" in image.info:
        grey.info["icc_profile"] = image.info["icc_profile"]
    return grey


def _to_srgb(image: Image.Image) -> Image.Image:
    """RGB of any 8-bit mode, its colours as an embedded profile means them.

    A profile that is damaged, or of another kind of colours, is ignored.
    """
    if data := image.info.get("icc_profile"):
        base = "CMYK" if image.mode == "CMYK" else Image.getmodebase(image.mode)
        with suppress(OSError, ImageCms.PyCMSError):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
            mode = PROFILE_MODES.get(profile.profile.xcolor_space)
            if mode in (base, "RGB"):
                srgb = ImageCms.createProfile("sRGB")
                colours = image.convert(mode)
                converted = ImageCms.profileToProfile(colours, profile, srgb, outputMode="RGB")
                assert converted is not None
                return converted
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
