"""From an opened file to its pixels: decoded, upright, in 8-bit sRGB."""

from __future__ import annotations

from math import ceil, sqrt

from PIL import ExifTags, Image
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngImageFile

from vitviz.photos.colours import Space, space_of, to_srgb
from vitviz.photos.depth import STRETCHED, eight_bits
from vitviz.photos.jpeg import ended

__all__ = ["rgb_of"]

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Frame = tuple[int, int, int, int]


def rgb_of(image: Image.Image, data: bytes, most_pixels: int) -> Image.Image:
    """An image as 8-bit sRGB, upright; one of more pixels at a whole part of its size.

    Args:
        image: opened, not yet decoded; it is used up.
        data: its file.
        most_pixels: of the result.
    """
    _scale_transparent_colour(image)
    space, frame = space_of(image, data), _first_frame(image, data)
    part = ceil(sqrt(image.width * image.height / most_pixels))
    image.draft(image.mode, (image.width // part, image.height // part))
    image = _reduced(_outside_transparent(_decoded(image, data), frame), most_pixels)
    return _to_rgb(_upright(image), space)


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


def _first_frame(image: Image.Image, data: bytes) -> Frame | None:
    """Where an animation's first frame lies, (x0, y0, x1, y1), before it is decoded."""
    if isinstance(image, GifImageFile) and image.tile:
        return image.tile[0].extents
    if image.format == "WEBP" and (place := data.find(b"ANMF")) >= 0:
        left, top, width, height = (
            int.from_bytes(data[at : at + 3], "little") for at in range(place + 8, place + 20, 3)
        )
        return 2 * left, 2 * top, 2 * left + width + 1, 2 * top + height + 1
    return None


def _outside_transparent(image: Image.Image, frame: Frame | None) -> Image.Image:
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
