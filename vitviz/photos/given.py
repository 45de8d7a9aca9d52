"""What a person may hold as a photo: a file, an array, a picture of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.errors import ImageError
from vitviz.photos.depth import eight_bits
from vitviz.photos.load import PhotoFile, load_image, not_read

__all__ = ["PhotoLike", "as_photo"]

PhotoLike = Image.Image | PhotoFile | NDArray[Any]


def as_photo(photo: PhotoLike, mode: str = "RGB") -> Image.Image:
    """A photo as PIL holds it.

    Args:
        photo: a PIL image of any mode, used as it lies; a file as `load_image` opens it; or an
            array (height, width), (height, width, 3) or (height, width, 4), uint8, or float from 0
            to 1.
        mode: "RGB", over white where it is transparent; or "RGBA", which keeps what is.

    Raises:
        ImageError: if it is something else.

    Examples:
        >>> as_photo(np.zeros((30, 40), np.uint8)).size
        (40, 30)
    """
    if isinstance(photo, np.ndarray):
        photo = Image.fromarray(_eight_bits(photo))
    elif not isinstance(photo, Image.Image):
        if not (isinstance(photo, (str, Path, bytes, bytearray, memoryview)) or _is_file(photo)):
            raise _no_photo(type(photo).__name__)
        photo = _opened(photo)
    try:
        photo.load()  # an opened file is read only now
    except (OSError, ValueError, SyntaxError) as error:
        raise not_read(error) from error
    if not all(photo.size):
        raise ImageError("photo_empty", "The photo has no pixels; give another one.")
    if photo.mode == mode:
        return photo
    image = eight_bits(photo)
    try:
        if mode == "RGBA" or not image.has_transparency_data:
            return image.convert(mode)
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert(mode)
    except ValueError as error:  # Pillow cannot convert it, such as LAB
        raise _no_photo(f"an image of mode {image.mode}") from error


def _opened(file: PhotoFile) -> Image.Image:
    """The photo in a file; an error names it, since many photos may be given at once."""
    try:
        return load_image(file)
    except ImageError as error:
        if not isinstance(file, (str, Path)):
            raise
        raise ImageError("photo_file", "{file}: {problem}", file=file, problem=error) from error


def _is_file(photo: object) -> bool:
    return callable(getattr(photo, "read", None))


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.size == 0 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise _no_photo(f"an array {array.shape}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if np.issubdtype(array.dtype, np.floating) and array.min() >= 0 and array.max() <= 1:
        return np.rint(array * 255).astype(np.uint8)
    raise ImageError(
        "array_out_of_range",
        "An array of {dtype} is no photo unless it holds uint8, or floats from 0 to 1; convert it.",
        dtype=array.dtype,
    )


def _no_photo(given: str) -> ImageError:
    return ImageError(
        "no_photo",
        "A photo is a path, a PIL image or an array (height, width, 3), not {given}.",
        given=given,
    )
