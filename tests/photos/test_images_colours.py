"""Every kind of colours: eight bits of sRGB, over white."""

from __future__ import annotations

import struct

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
    grey_profile,
    ink_profile,
    png,
    profile,
    quarters,
)
from PIL import Image, ImageCms

from vitviz import ImageError, load_image


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


def test_one_float_everywhere_is_grey() -> None:
    data = encode(Image.fromarray(np.full((20, 20), 7.0, np.float32)), "TIFF")
    assert load_image(data).getextrema() == ((128, 128),) * 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_no_numbers_at_all_are_refused(value: float) -> None:
    data = encode(Image.fromarray(np.full((20, 20), value, np.float32)), "TIFF")
    with pytest.raises(ImageError, match="no number"):
        load_image(data)


@pytest.mark.parametrize("spike", [1e6, -1e6, 3e38])
def test_a_spike_does_not_blacken_the_rest(spike: float) -> None:
    values = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (40, 1))
    values[3, 3] = spike
    loaded = load_image(encode(Image.fromarray(values), "TIFF"))
    assert loaded.getpixel((3, 3)) == ((255,) * 3 if spike > 0 else (0,) * 3)
    assert loaded.getpixel((20, 8))[0] == pytest.approx(255 * 20 / 39, abs=6)


def test_few_bright_pixels_on_even_ground_are_no_spikes() -> None:
    values = np.zeros((40, 40), np.float32)
    values[5, 5], values[6, 6] = 1.0, 2.0
    loaded = load_image(encode(Image.fromarray(values), "TIFF"))
    assert [loaded.getpixel((x, x))[0] for x in (4, 5, 6)] == [0, 128, 255]


class TestTwelveBits:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    @pytest.mark.parametrize("bits", [10, 12, 14])
    def test_they_are_stretched_and_it_is_said(self, kind: str, bits: int) -> None:
        values = np.tile(np.linspace(0, 2**bits - 1, 32).astype(np.uint16), (32, 1))
        loaded = load_image(encode(Image.fromarray(values), kind))
        assert loaded.info == {"stretched": (0, 2**bits - 1)}
        shown = [loaded.getpixel((x, 3))[0] for x in range(32)]
        np.testing.assert_allclose(shown, np.linspace(0, 255, 32), atol=1)

    def test_a_hot_pixel_does_not_hide_them(self) -> None:
        values = np.tile(np.linspace(0, 4095, 40).astype(np.uint16), (40, 1))
        values[7, 7] = 65535
        loaded = load_image(encode(Image.fromarray(values), "PNG"))
        assert loaded.getpixel((20, 3))[0] == pytest.approx(131, abs=6)
        assert "stretched" in loaded.info

    def test_a_third_of_the_range_is_shown_as_it_is(self) -> None:
        values = np.tile(np.linspace(0, 22_000, 32).astype(np.uint16), (32, 1))
        loaded = load_image(encode(Image.fromarray(values), "PNG"))
        assert loaded.getpixel((31, 3)) == (86,) * 3
        assert loaded.info == {}

    def test_what_is_hidden_counts_for_nothing(self) -> None:
        row = np.linspace(0, 4095, 16).astype(">u2").tobytes() + b"\xff\xff" * 16
        data = png(32, 16, 16, 0, (b"\0" + row) * 16, tRNS=b"\xff\xff")
        loaded = load_image(data)
        assert [loaded.getpixel((x, 3))[0] for x in (0, 15, 31)] == [0, 255, 255]


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

    @pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
    def test_a_transparent_grey_of_any_depth(self, depth: int) -> None:
        hidden, shown = (0, 1) if depth == 1 else (1, 2**depth - 2)
        bits = f"{hidden:0{depth}b}" * 16 + f"{shown:0{depth}b}" * 16
        row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
        loaded = load_image(png(32, 16, depth, 0, row * 16, tRNS=struct.pack(">H", hidden)))
        assert loaded.getpixel((3, 3)) == WHITE
        assert loaded.getpixel((20, 3)) == (round(shown * 255 / (2**depth - 1)),) * 3

    def test_a_transparent_colour_of_sixteen_bits(self) -> None:
        hidden, shown = struct.pack(">3H", 1000, 2000, 3000), struct.pack(">3H", 9000, 2000, 3000)
        data = png(32, 16, 16, 2, (b"\0" + hidden * 16 + shown * 16) * 16, tRNS=hidden)
        loaded = load_image(data)
        assert loaded.getpixel((3, 3)) == WHITE
        np.testing.assert_allclose(loaded.getpixel((20, 3)), (35, 8, 12), atol=1)


# X, Y, Z of the primaries under D50, as Apple's and Adobe's own profiles have them.
DISPLAY_P3 = profile(
    [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]]
)
ADOBE_RGB = profile(
    [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]],
    gamma=563 / 256,
)

PROFILE_NAMES = {DISPLAY_P3: "Display P3", ADOBE_RGB: "Adobe RGB", SRGB: "sRGB"}


class TestProfiles:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF"])
    def test_every_format_that_carries_one(self, kind: str) -> None:
        image = Image.new("RGB", (64, 64), (234, 51, 35))  # sRGB's red, in Display P3
        loaded = load_image(encode(image, kind, quality=95, icc_profile=DISPLAY_P3))
        np.testing.assert_allclose(loaded.getpixel((30, 30)), (255, 0, 0), atol=12)

    # The same light in two spaces: sRGB's primaries, white and a grey.
    @pytest.mark.parametrize(
        ("space", "stored", "srgb"),
        [
            (DISPLAY_P3, (234, 51, 35), (255, 0, 0)),
            (DISPLAY_P3, (117, 251, 76), (0, 255, 0)),
            (DISPLAY_P3, (0, 0, 245), (0, 0, 255)),
            (DISPLAY_P3, (255, 255, 255), (255, 255, 255)),
            (DISPLAY_P3, (128, 128, 128), (128, 128, 128)),
            (ADOBE_RGB, (219, 0, 0), (255, 0, 0)),
            (ADOBE_RGB, (144, 255, 60), (0, 255, 0)),
            (ADOBE_RGB, (0, 0, 250), (0, 0, 255)),
            (ADOBE_RGB, (255, 255, 255), (255, 255, 255)),
            (SRGB, (12, 200, 90), (12, 200, 90)),
        ],
        ids=lambda value: None if isinstance(value, tuple) else PROFILE_NAMES[value],
    )
    def test_known_colours(
        self, space: bytes, stored: tuple[int, int, int], srgb: tuple[int, int, int]
    ) -> None:
        loaded = load_image(encode(Image.new("RGB", (16, 16), stored), "PNG", icc_profile=space))
        assert loaded.mode == "RGB"
        np.testing.assert_allclose(loaded.getpixel((5, 5)), srgb, atol=4)

    def test_transparency_and_palettes_keep_theirs(self) -> None:
        image = Image.new("RGBA", (32, 16), (234, 51, 35, 255))
        image.paste((9, 9, 9, 0), (16, 0, 32, 16))
        for stored in (image, image.quantize(2)):
            loaded = load_image(encode(stored, "PNG", icc_profile=DISPLAY_P3))
            np.testing.assert_allclose(loaded.getpixel((5, 5)), (255, 0, 0), atol=4)
            assert loaded.getpixel((20, 5)) == WHITE

    @pytest.mark.parametrize("sixteen_bits", [False, True])
    def test_grey(self, sixteen_bits: bool) -> None:
        # Linear light of 55 / 255 is sRGB's 128.
        stored = Image.new("L", (16, 16), 55)
        if sixteen_bits:
            stored = Image.fromarray(np.full((16, 16), 55 * 257, np.uint16))
        linear = encode(stored, "PNG", icc_profile=grey_profile(1.0))
        np.testing.assert_allclose(load_image(linear).getpixel((5, 5)), (128,) * 3, atol=1)
        of_a_screen = encode(stored, "PNG", icc_profile=DISPLAY_P3)  # grey in any RGB space
        np.testing.assert_allclose(load_image(of_a_screen).getpixel((5, 5)), (55,) * 3, atol=1)

    def test_inks(self) -> None:
        # CIE: L* = 50 without colour is sRGB's 119.
        image = Image.new("CMYK", (32, 16), (200, 30, 90, 128))
        image.paste((200, 30, 90, 0), (16, 0, 32, 16))
        loaded = load_image(encode(image, "TIFF", icc_profile=ink_profile()))
        np.testing.assert_allclose(loaded.getpixel((5, 5)), (119,) * 3, atol=2)
        np.testing.assert_allclose(loaded.getpixel((25, 5)), WHITE, atol=2)

    @pytest.mark.parametrize(
        "bad",
        [
            b"no profile",
            bytes(600),
            DISPLAY_P3[:200],
            DISPLAY_P3[:-100],
            DISPLAY_P3.replace(b"para", b"junk"),
            DISPLAY_P3.replace(b"RGB XYZ ", b"junkXYZ "),
            grey_profile(1.0),
            ink_profile(),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        ],
        ids=[
            "no profile",
            "zeros",
            "cut in its tags",
            "cut in its curves",
            "curves of no kind",
            "colours of no kind",
            "of grey",
            "of inks",
            "of no device",
        ],
    )
    def test_a_damaged_or_unfit_profile_is_ignored(self, bad: bytes) -> None:
        assert_quarters(load_image(encode(quarters(), "PNG", icc_profile=bad)), tolerance=0)
