"""Photos of more pixels than are asked for, made smaller while they are opened."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import FORMATS, assert_quarters, encode, png, quarters, with_orientation
from PIL import Image

import vitviz
from vitviz.photos.load import open_image


def photo(rows: int = 60, cols: int = 90) -> Image.Image:
    """Smooth colours, of which every other pixel tells enough."""
    y, x = np.mgrid[:rows, :cols]
    values = np.stack([x * 2, y * 3, 255 - x - y], axis=-1)
    return Image.fromarray(values.astype(np.uint8))


def halved(image: Image.Image) -> np.ndarray:
    """A second computation: the mean of two by two pixels."""
    values = np.asarray(image, np.float64)
    return values.reshape(values.shape[0] // 2, 2, values.shape[1] // 2, 2, -1).mean(axis=(1, 3))


@pytest.mark.parametrize("kind", [*FORMATS, "HEIF"])
@pytest.mark.parametrize("most", [5_399, 1_350])
def test_half_as_wide_and_half_as_high(kind: str, most: int) -> None:
    data = encode(photo(), kind)
    small = open_image(data, most)
    assert small.size == (45, 30)
    assert small.info == {"reduced": 2}
    whole = vitviz.load_image(data)
    np.testing.assert_allclose(np.asarray(small), halved(whole), atol=4 if kind == "JPEG" else 0.6)


@pytest.mark.parametrize("kind", [*FORMATS, "HEIF"])
def test_a_photo_of_as_many_pixels_as_may_be_stays_as_it_is(kind: str) -> None:
    data = encode(photo(), kind)
    assert open_image(data, 5_400).tobytes() == vitviz.load_image(data).tobytes()
    assert open_image(data, 5_400).info == {}


@pytest.mark.parametrize(
    ("kind", "most", "part"),
    [("PNG", 1_349, 3), ("PNG", 600, 3), ("PNG", 599, 4), ("JPEG", 1_349, 4), ("JPEG", 100, 8)],
)
def test_smaller_still(kind: str, most: int, part: int) -> None:
    """JPEG is halved."""
    small = open_image(encode(photo(), kind), most)
    assert small.width * small.height <= most
    assert small.info == {"reduced": part}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "HEIF"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_upright(kind: str, orientation: int) -> None:
    data = encode(photo(), kind, exif=with_orientation(orientation), quality=95)
    small, whole = open_image(data, 5_000), vitviz.load_image(data)
    assert small.size == (whole.width // 2, whole.height // 2)
    assert small.info == {"reduced": 2}
    np.testing.assert_allclose(np.asarray(small), halved(whole), atol=6)


@pytest.mark.parametrize(
    "image",
    [
        quarters().convert("CMYK"),
        quarters().quantize(8),
        Image.new("1", (64, 64), 1),
        Image.fromarray(np.full((64, 64), 40_000, np.uint16)),
        Image.fromarray(np.tile(np.linspace(0, 4_095, 64).astype(np.uint16), (64, 1))),
        Image.new("LA", (64, 64), (0, 128)),
        Image.new("RGBA", (64, 64), (10, 200, 30, 64)),
    ],
    ids=lambda image: image.mode,
)
def test_every_mode_means_the_same(image: Image.Image) -> None:
    data = encode(image, "TIFF" if image.mode == "CMYK" else "PNG")
    small, whole = open_image(data, 2_000), vitviz.load_image(data)
    assert small.info == {**whole.info, "reduced": 2}
    np.testing.assert_allclose(np.asarray(small), halved(whole), atol=1)


def test_numbers_without_a_range() -> None:
    values = np.linspace(-3, 5, 4_096, dtype=np.float32).reshape(64, 64)
    values[10:12, 20:22] = np.nan
    small = open_image(encode(Image.fromarray(values), "TIFF"), 2_000)
    assert small.getpixel((10, 5)) == (0, 0, 0)
    assert small.getpixel((0, 0)) == (0, 0, 0)
    assert small.getpixel((31, 31)) == (255, 255, 255)
    assert small.info.keys() == {"stretched", "reduced"}


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_colour_that_is_transparent_does_not_bleed(mode: str) -> None:
    """Black, named transparent, beside white: all white, also where both are in one pixel."""
    values = np.zeros((64, 64, 3), np.uint8)
    values[:, ::2] = 255
    image = Image.fromarray(values).convert(mode)
    black = (0, 0, 0) if mode == "RGB" else image.getpixel((1, 0))
    data = encode(image, "PNG", transparency=black)
    assert open_image(data, 2_000).getextrema() == ((255, 255),) * 3


def test_a_jpeg_without_its_end() -> None:
    whole = encode(quarters(), "JPEG", quality=95)
    assert_quarters(open_image(whole[:-2], 2_000))


def test_too_many_pixels_are_refused_all_the_same() -> None:
    with pytest.raises(vitviz.ImageError, match="more than 50 megapixels"):
        open_image(png(9_000, 9_000), 2_000)
