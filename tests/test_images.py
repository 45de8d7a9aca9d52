"""Untrusted files: right colours, upright, or one clear sentence."""

from __future__ import annotations

import io
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

import vitviz
from vitviz import ImageError, images, load_image

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (40, 50, 210), (255, 255, 255)


def quarters(size: int = 64) -> Image.Image:
    """Red, green / blue, white."""
    image = Image.new("RGB", (size, size))
    half = size // 2
    for i, colour in enumerate((RED, GREEN, BLUE, WHITE)):
        image.paste(
            colour, ((i % 2) * half, (i // 2) * half, (i % 2 + 1) * half, (i // 2 + 1) * half)
        )
    return image


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    w, h = image.size
    places = (
        (w // 4, h // 4),
        (3 * w // 4, h // 4),
        (w // 4, 3 * h // 4),
        (3 * w // 4, 3 * h // 4),
    )
    return [image.getpixel(place) for place in places]


def assert_quarters(image: Image.Image, tolerance: int = 12) -> None:
    assert image.mode == "RGB"
    np.testing.assert_allclose(corners(image), (RED, GREEN, BLUE, WHITE), atol=tolerance)


FORMATS = [
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    *(["AVIF"] if features.check("avif") else []),
]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_keeps_its_colours(kind: str) -> None:
    assert_quarters(load_image(encode(quarters(), kind)))


def test_heic() -> None:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(quarters()).save(buffer, quality=90)
    assert_quarters(load_image(buffer.getvalue()), tolerance=25)


def test_path_bytes_and_file_are_the_same(tmp_path: Path) -> None:
    data = encode(quarters(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        from_file = load_image(file)
        assert not file.closed
    for image in (load_image(path), load_image(str(path)), from_file):
        assert image.tobytes() == load_image(data).tobytes()


# EXIF 2.3, tag 0x0112: where the stored picture's first row and first column belong.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def upright_corner(orientation: int, row: int, column: int) -> tuple[bool, bool]:
    """(is at the bottom, is at the right) of a stored corner once the picture stands upright."""
    opposite = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}
    first_row, first_column = SIDES[orientation]
    sides = {
        opposite[first_row] if row else first_row,
        opposite[first_column] if column else first_column,
    }
    return "bottom" in sides, "right" in sides


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize(
    "kind", [kind for kind in FORMATS if kind not in ("GIF", "BMP")] + ["HEIF"]
)
@pytest.mark.parametrize("orientation", SIDES)
def test_orientation(kind: str, orientation: int) -> None:
    stored = quarters().resize((96, 64))
    image = load_image(encode(stored, kind, exif=with_orientation(orientation), quality=95))
    assert image.size == ((96, 64) if orientation < 5 else (64, 96))
    found = corners(image)
    for i, colour in enumerate((RED, GREEN, BLUE, WHITE)):
        bottom, right = upright_corner(orientation, *divmod(i, 2))
        np.testing.assert_allclose(found[2 * bottom + right], colour, atol=25)


def test_the_main_picture_of_an_mpo() -> None:
    other = Image.new("RGB", (64, 64), BLUE)
    data = encode(
        quarters(),
        "MPO",
        save_all=True,
        append_images=[other],
        exif=with_orientation(3),
        quality=95,
    )
    assert Image.open(io.BytesIO(data)).format == "MPO"
    np.testing.assert_allclose(corners(load_image(data)), (WHITE, BLUE, GREEN, RED), atol=12)


def test_a_photo_with_damaged_exif_still_opens_upright() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x0103] = 3, 7
    sound = exif.tobytes()
    order = {b"II": "<", b"MM": ">"}[sound[6:8]]
    short = struct.pack(f"{order}HHI", 0x0103, 3, 1)
    assert short in sound
    damaged = sound.replace(
        short, struct.pack(f"{order}HHI", 0x0103, 2, 1)
    )  # a number said to be text
    for data in (damaged, sound[:12]):
        image = load_image(encode(quarters(), "JPEG", exif=data, quality=95))
        turned = data is damaged
        np.testing.assert_allclose(corners(image)[0], WHITE if turned else RED, atol=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_photo_with_unreadable_exif_opens_as_it_is_stored(kind: str) -> None:
    data = encode(quarters(), kind, exif=b"Exif\0\0no TIFF header", quality=95)
    assert_quarters(load_image(data), tolerance=25)


def test_cmyk() -> None:
    assert_quarters(load_image(encode(quarters().convert("CMYK"), "JPEG", quality=95)))


def test_palette_and_grey() -> None:
    assert_quarters(load_image(encode(quarters().quantize(8), "PNG")))
    grey = load_image(encode(Image.new("L", (20, 20), 77), "PNG"))
    assert grey.getpixel((5, 5)) == (77, 77, 77)
    assert load_image(encode(Image.new("1", (20, 20), 1), "PNG")).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_cut(kind: str) -> None:
    values = np.full((20, 20), 257 * 100, np.uint16)
    values[:, 10:] = 65535
    image = load_image(encode(Image.fromarray(values), kind))
    assert image.getpixel((3, 3)) == (100, 100, 100)
    assert image.getpixel((15, 3)) == WHITE


def test_floats_are_stretched_and_nan_is_dark() -> None:
    values = np.full((20, 20), -3.0, np.float32)
    values[:, 10:] = 5.0
    values[0, 0] = np.nan
    image = load_image(encode(Image.fromarray(values), "TIFF"))
    assert image.getpixel((3, 3)) == (0, 0, 0)
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert image.getpixel((15, 3)) == WHITE


def test_whole_numbers_of_32_bits_are_stretched() -> None:
    values = np.tile(np.array([-(2**31), 0, 2**31 - 1], np.int32).repeat(8), (24, 1))
    image = load_image(encode(Image.fromarray(values), "TIFF"))
    assert [image.getpixel((x, 5))[0] for x in (4, 12, 20)] == pytest.approx([0, 127.5, 255], abs=1)


@pytest.mark.parametrize(
    ("value", "grey"), [(np.inf, 255), (-np.inf, 0), (np.nan, 0), (0.5, 128), (0.25, 64)]
)
def test_floats_that_are_not_numbers(value: float, grey: int) -> None:
    values = np.tile(np.array([0, 1], np.float32), (16, 8))
    values[3, 3] = value
    assert load_image(encode(Image.fromarray(values), "TIFF")).getpixel((3, 3)) == (grey,) * 3


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0])
def test_floats_without_a_range_are_black(value: float) -> None:
    data = encode(Image.fromarray(np.full((20, 20), value, np.float32)), "TIFF")
    assert load_image(data).getextrema() == ((0, 0),) * 3


class TestTransparency:
    def test_hidden_colours_become_white(self) -> None:
        image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
        image.paste((*RED, 255), (0, 0, 10, 20))
        loaded = load_image(encode(image, "PNG"))
        assert loaded.getpixel((15, 5)) == WHITE
        assert loaded.getpixel((5, 5)) == RED

    def test_half_transparent_black_is_grey(self) -> None:
        loaded = load_image(encode(Image.new("LA", (20, 20), (0, 128)), "PNG"))
        assert loaded.getpixel((5, 5)) == pytest.approx((127, 127, 127), abs=1)

    def test_a_transparent_palette_entry(self) -> None:
        image = Image.new("P", (20, 20), 0)
        image.putpalette([*BLUE, *RED])
        image.paste(1, (0, 0, 10, 20))
        loaded = load_image(encode(image, "PNG", transparency=0))
        assert loaded.getpixel((15, 5)) == WHITE
        assert loaded.getpixel((5, 5)) == RED

    @pytest.mark.parametrize(
        "kind", [kind for kind in ("WEBP", "AVIF") if kind in FORMATS] + ["HEIF"]
    )
    def test_hidden_colours_of_other_formats(self, kind: str) -> None:
        image = Image.new("RGBA", (64, 64), (*RED, 0))
        image.paste((*BLUE, 255), (0, 0, 32, 64))
        loaded = load_image(encode(image, kind, quality=95))
        np.testing.assert_allclose(loaded.getpixel((8, 8)), BLUE, atol=25)
        np.testing.assert_allclose(loaded.getpixel((56, 8)), WHITE, atol=5)

    def test_a_half_transparent_palette_entry(self) -> None:
        image = Image.new("P", (20, 20), 0)
        image.putpalette([0, 0, 0, *RED])
        loaded = load_image(encode(image, "PNG", transparency=bytes([128, 255])))
        assert loaded.getpixel((5, 5)) == pytest.approx((127, 127, 127), abs=1)

    def test_a_transparent_grey(self) -> None:
        image = Image.new("L", (20, 20), 50)
        image.paste(60, (0, 0, 10, 20))
        loaded = load_image(encode(image, "PNG", transparency=50))
        assert loaded.getpixel((15, 5)) == WHITE
        assert loaded.getpixel((5, 5)) == (60, 60, 60)

    def test_a_transparent_colour_of_an_rgb_file(self) -> None:
        loaded = load_image(encode(quarters(), "PNG", transparency=RED))
        assert corners(loaded) == [WHITE, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_the_first_of_several_frames(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, BLUE)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(load_image(data).getpixel((5, 5)), RED, atol=12)


def png_header(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that claims a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


class TestRefused:
    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("side", [7_100, 10_000, 14_000, 60_000])
    def test_too_many_pixels_before_decoding(self, side: int) -> None:
        with pytest.raises(ImageError, match="more than 50 megapixels"):
            load_image(png_header(side, side))

    @pytest.mark.filterwarnings("error")
    def test_too_many_pixels_where_warnings_are_errors(self) -> None:
        with pytest.raises(ImageError, match="more than 50 megapixels"):
            load_image(png_header(10_000, 10_000))

    def test_fifty_megapixels_are_not_too_many(self) -> None:
        with pytest.raises(ImageError, match="broken"):  # it gets as far as the missing pixels
            load_image(png_header(10_000, 5_000))

    def test_a_large_file_is_refused_unread(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "large.png"
        with path.open("wb") as file:
            file.truncate(images.MAX_BYTES + 1)
        monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("opened"))
        with pytest.raises(ImageError, match="larger than 25 MB"):
            load_image(path)

    def test_too_many_bytes(self, tmp_path: Path) -> None:
        data = encode(quarters(), "PNG") + bytes(images.MAX_BYTES)
        path = tmp_path / "large.png"
        path.write_bytes(data)
        for source in (data, path, io.BytesIO(data)):
            with pytest.raises(ImageError, match="larger than 25 MB"):
                load_image(source)

    @pytest.mark.parametrize("size", [(13, 100), (100, 13), (1, 1)])
    def test_smaller_than_a_patch(self, size: tuple[int, int]) -> None:
        with pytest.raises(ImageError, match="smaller than one patch"):
            load_image(encode(Image.new("RGB", size), "PNG"))
        load_image(encode(Image.new("RGB", (14, 14)), "PNG"))

    @pytest.mark.parametrize(
        "data", [b"", b"text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF"]
    )
    def test_not_an_image(self, data: bytes) -> None:
        with pytest.raises(ImageError, match="not an image that can be opened here; use JPEG"):
            load_image(data)

    @pytest.mark.parametrize("kind", ["PPM", "TGA", "ICO", "PCX", "EPS"])
    def test_sound_pictures_of_formats_not_offered(self, kind: str) -> None:
        data = encode(quarters(), kind)
        assert Image.open(io.BytesIO(data)).size == (64, 64)  # Pillow itself would open it
        with pytest.raises(ImageError, match="not an image that can be opened here; use JPEG"):
            load_image(data)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_cut_off(self, kind: str) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        data = encode(Image.fromarray(noise), kind)
        with pytest.raises(ImageError, match=r"broken or cut off|not an image"):
            load_image(data[: len(data) // 2])

    def test_no_such_file_and_a_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.jpg", tmp_path, "\0"):
            with pytest.raises(ImageError, match="cannot be read"):
                load_image(path)

    def test_a_file_object_that_cannot_be_read(self) -> None:
        file = io.BytesIO(encode(quarters(), "PNG"))
        file.close()
        with pytest.raises(ImageError, match=r"cannot be read: I/O operation on closed file\.$"):
            load_image(file)


def test_a_file_object_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"header" + encode(quarters(), "PNG"))
    file.seek(6)
    assert_quarters(load_image(file))


@given(st.binary(max_size=400))
def test_any_bytes_give_a_photo_or_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        load_image(data)


SOUND = {
    kind: encode(quarters(), kind, exif=with_orientation(6))
    for kind in [*FORMATS, "MPO", "HEIF"]
    if kind not in ("GIF", "BMP")
} | {kind: encode(quarters(), kind) for kind in ("GIF", "BMP")}


@pytest.mark.parametrize("kind", SOUND)
@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    )
)
def test_a_damaged_file_gives_a_photo_or_an_image_error(
    kind: str, damage: list[tuple[float, int]]
) -> None:
    data = bytearray(SOUND[kind])
    for place, value in damage:
        data[int(place * len(data))] = value
    with suppress(ImageError):
        assert load_image(bytes(data)).mode == "RGB"


@pytest.mark.parametrize("kind", [kind for kind in ("AVIF",) if kind in FORMATS] + ["HEIF"])
def test_every_damaged_byte_of_a_box_header(kind: str) -> None:
    """Decoders of these formats raise RuntimeError, which is no OSError."""
    causes = set()
    for place in range(300):
        data = bytearray(SOUND[kind])
        data[place] ^= 0xFF
        try:
            assert load_image(bytes(data)).mode == "RGB"
        except ImageError as error:
            causes.add(type(error.__cause__))
    assert causes  # so the damage was noticed


def test_samples_open_and_are_credited() -> None:
    found = vitviz.samples()
    assert len(found) >= 6
    assert found[0].id == "cat"
    assert len({sample.id for sample in found}) == len(found)
    assert {"cat", "coffee", "cat-and-coffee"} <= {sample.id for sample in found}
    for sample in found:
        assert min(load_image(sample.path).size) >= 224
        assert re.search(r"CC0 1\.0|CC BY 2\.0|public domain", sample.credit)
        assert re.search(r"from scikit-(image|learn)$", sample.credit)
        assert sample.title
        assert sample.alt.endswith(".")
    folder = found[0].path.parent
    assert {path.name for path in folder.glob("*.jpg")} == {s.path.name for s in found}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000
