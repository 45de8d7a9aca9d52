"""Untrusted files: refused with one clear sentence, whatever they hold."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import (
    FORMATS,
    SRGB,
    assert_quarters,
    encode,
    many_scans,
    png,
    quarters,
    with_orientation,
)
from PIL import Image, ImageFile

from vitviz import ImageError, load_image
from vitviz.photos import load as images


class TestRefused:
    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("side", [7_100, 10_000, 14_000, 60_000])
    def test_too_many_pixels_before_decoding(self, side: int) -> None:
        with pytest.raises(ImageError, match="more than 50 megapixels"):
            load_image(png(side, side))

    @pytest.mark.filterwarnings("error")
    def test_too_many_pixels_where_warnings_are_errors(self) -> None:
        with pytest.raises(ImageError, match="more than 50 megapixels"):
            load_image(png(10_000, 10_000))

    def test_fifty_megapixels_are_not_too_many(self) -> None:
        with pytest.raises(ImageError, match="broken"):  # it gets as far as the missing pixels
            load_image(png(10_000, 5_000))

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

    @pytest.mark.parametrize("size", [(281, 14), (14, 281), (14, 3_500_000)])
    def test_a_strip(self, size: tuple[int, int]) -> None:
        with pytest.raises(ImageError, match="more than 20 times"):
            load_image(png(*size))
        load_image(encode(Image.new("RGB", (280, 14)), "PNG"))

    @pytest.mark.parametrize("scans", [101, 400])
    @pytest.mark.parametrize("begin", [b"", b"\xff\xd0\xff\xff\x01" + b"\xff" * 9])
    def test_too_many_scans_before_decoding(
        self, scans: int, begin: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Markers may be led by fill bytes, and some stand alone."""
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
        data = many_scans(scans)
        place = data.rindex(b"\xff\xda")
        with pytest.raises(ImageError, match="more than 100 passes"):
            load_image(data[:place] + begin + data[place:])

    def test_as_many_scans_as_may_be(self) -> None:
        assert_quarters(load_image(many_scans(100)), tolerance=25)

    def test_what_looks_like_scans_but_is_none(self) -> None:
        """In a segment of a program's own, in the picture behind the first, and behind the end."""
        scans = b"\xff\xda\x00\x02" * 200
        own = b"\xff\xef" + (2 + len(scans)).to_bytes(2) + scans
        data = many_scans(20)
        data = data[:2] + own + data[2:] + many_scans(90) + scans
        assert_quarters(load_image(data), tolerance=25)

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


@given(st.binary(max_size=400))
def test_any_bytes_give_a_photo_or_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        load_image(data)


SOUND = {
    kind: encode(quarters(), kind, exif=with_orientation(6))
    for kind in [*FORMATS, "MPO", "HEIF"]
    if kind not in ("GIF", "BMP")
} | {kind: encode(quarters(), kind) for kind in ("GIF", "BMP")}
SOUND["JPEG with a profile"] = encode(quarters(), "JPEG", icc_profile=SRGB)


@pytest.mark.parametrize("kind", SOUND)
@settings(max_examples=60)
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
