"""Every format and way to give a photo: the same picture, upright."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from pictures import (
    BLUE,
    FORMATS,
    GREEN,
    RED,
    SRGB,
    WHITE,
    assert_quarters,
    corners,
    encode,
    quarters,
    with_orientation,
)
from PIL import Image, UnidentifiedImageError

import vitviz
from vitviz import ImageError, load_image
from vitviz.photos import load


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_keeps_its_colours(kind: str) -> None:
    assert_quarters(load_image(encode(quarters(), kind)))


HEIC = encode(quarters(), "HEIF", quality=90)


def test_heic() -> None:
    assert_quarters(load_image(HEIC), tolerance=25)
    with pytest.raises(UnidentifiedImageError):  # and Pillow stays as it was
        Image.open(io.BytesIO(HEIC))


def test_heic_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "find_spec", lambda _: None)
    with pytest.raises(ImageError, match=r"^HEIC photos need pillow-heif; pip install .*\.$"):
        load_image(HEIC)
    assert_quarters(load_image(encode(quarters(), "PNG")))


def test_path_bytes_of_any_kind_and_file_are_the_same(tmp_path: Path) -> None:
    data = encode(quarters(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        from_file = load_image(file)
        assert not file.closed
    same = [path, str(path), bytearray(data), memoryview(data), memoryview(data).cast("b")]
    for image in (*map(load_image, same), from_file):
        assert image.tobytes() == load_image(data).tobytes()


def test_a_file_object_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"header" + encode(quarters(), "PNG"))
    file.seek(6)
    assert_quarters(load_image(file))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_open_as_text_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(quarters(), "PNG"))
    with (
        path.open(encoding=encoding) as file,
        pytest.raises(ImageError, match=r"^The file is open as text; open it as binary"),
    ):
        load_image(file)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_the_first_of_several_frames(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, BLUE)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(load_image(data).getpixel((5, 5)), RED, atol=12)


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_of_the_metadata_is_kept(kind: str) -> None:
    """Saved with a picture of the photo, orientation and profile would apply once more."""
    data = encode(quarters(), kind, exif=with_orientation(6), icc_profile=SRGB)
    assert {"exif", "icc_profile"} <= Image.open(io.BytesIO(data)).info.keys()
    assert load_image(data).info == {}


def test_samples_open_and_are_credited() -> None:
    found = vitviz.samples()
    assert len(found) >= 6
    assert found[0].id == "cat"
    assert len({sample.id for sample in found}) == len(found)
    assert {"cat", "coffee", "cat-and-coffee"} <= {sample.id for sample in found}
    for sample in found:
        assert min(load_image(sample.path).size) >= 224
        assert re.search(r"CC0 1\.0|CC BY 2\.0|public domain", sample.credit)
        assert re.search(r"from (scikit-image|scikit-learn|stdlib)$", sample.credit)
        assert sample.title
        assert sample.alt.endswith(".")
    folder = found[0].path.parent
    assert {path.name for path in folder.glob("*.jpg")} == {s.path.name for s in found}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000


def small_first_frame(kind: str) -> bytes:
    """An animation of 64 × 64 whose first frame is 32 × 32 red pixels at (16, 16)."""
    frame = Image.new("RGB", (32, 32), RED)
    if kind == "GIF":
        data = bytearray(encode(frame, "GIF"))
        data[6:10] = struct.pack("<HH", 64, 64)
        place = data.index(b"\x2c\0\0\0\0") + 1
        data[place : place + 4] = struct.pack("<HH", 16, 16)
        return bytes(data)
    alpha = 0x10 if kind == "WEBP with transparency" else 0

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body

    def three(value: int) -> bytes:
        return struct.pack("<I", value)[:3]

    picture = encode(frame, "WEBP", lossless=True)[12:]
    place = three(8) + three(8) + three(31) + three(31)  # in steps of two, and less one
    body = (
        b"WEBP"
        + chunk(b"VP8X", bytes([0x02 | alpha, 0, 0, 0]) + three(63) + three(63))
        + chunk(b"ANIM", bytes(6))
        + 2 * chunk(b"ANMF", place + three(100) + b"\0" + picture)
    )
    return chunk(b"RIFF", body)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "WEBP with transparency"])
def test_outside_a_small_first_frame_there_is_nothing(kind: str) -> None:
    loaded = load_image(small_first_frame(kind))
    assert loaded.size == (64, 64)
    assert {loaded.getpixel(p) for p in ((2, 2), (15, 30), (48, 30), (30, 60))} == {WHITE}
    for place in ((16, 16), (30, 30), (47, 47)):
        np.testing.assert_allclose(loaded.getpixel(place), RED, atol=2)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
JPEGS = [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 1}]


@pytest.mark.parametrize("options", JPEGS, ids=str)
class TestEndOfJpeg:
    def test_it_may_be_missing(self, options: dict[str, object]) -> None:
        data = encode(NOISE, "JPEG", **options)
        assert data.endswith(b"\xff\xd9")
        for cut in (1, 2):
            assert load_image(data[:-cut]).tobytes() == load_image(data).tobytes()

    def test_pixels_may_not(self, options: dict[str, object]) -> None:
        """Wherever the file is cut, also between the scans of a progressive one."""
        data = encode(NOISE, "JPEG", **options)
        markers = [place for place in range(4, len(data) - 2) if data[place : place + 1] == b"\xff"]
        ends = [*range(len(data) - 30, len(data) - 2), *range(700, len(data) - 30, 71), *markers]
        whole = load_image(data).tobytes()
        for end in ends:
            with pytest.raises(ImageError, match="cut off"):
                assert load_image(data[:end]).tobytes() == whole


@pytest.mark.filterwarnings("ignore:.*(Truncated|Corrupt):UserWarning")
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_cut_tiff_is_said_to_be_cut(compression: str | None) -> None:
    data = encode(NOISE, "TIFF", compression=compression)
    for end in range(8, len(data), len(data) // 40):
        with pytest.raises(ImageError, match="cut off"):
            load_image(data[:end])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_file_cut_within_its_head_is_said_to_be_cut(kind: str) -> None:
    with pytest.raises(ImageError, match="cut off"):
        load_image(encode(NOISE, kind)[:14])
