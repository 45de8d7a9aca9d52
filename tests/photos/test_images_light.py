"""Colours by code points (nclx, cICP) and by gAMA and cHRM, and light brighter than white."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from pictures import FORMATS, GREEN, SRGB, encode, grey_profile, png
from PIL import Image

from vitviz import load_image

P3, REC_2020 = 12, 9
LIKE_SRGB, LINEAR, PQ, HLG = 13, 8, 16, 18
CODED = ["PNG", "HEIF", *(kind for kind in ("AVIF",) if kind in FORMATS)]

# The same light in Display P3: sRGB's primaries, white and a grey, as Apple's profile has them.
IN_P3 = [
    ((234, 51, 35), (255, 0, 0)),
    ((117, 251, 76), (0, 255, 0)),
    ((0, 0, 245), (0, 0, 255)),
    ((255, 255, 255), (255, 255, 255)),
    ((128, 128, 128), (128, 128, 128)),
]


def coded(colour: tuple[int, ...], primaries: int, transfer: int, kind: str = "PNG") -> bytes:
    """A picture of one colour whose code points are these."""
    image = Image.new("RGB", (64, 64), colour)
    if kind == "PNG":
        return of_one(colour, cICP=bytes([primaries, transfer, 0, 1]))
    if kind == "HEIF":
        codes = {"color_primaries": primaries, "transfer_characteristics": transfer}
        return encode(image, kind, quality=100, matrix_coefficients=6, full_range_flag=1, **codes)
    data = bytearray(encode(image, kind, quality=100))
    place = data.index(b"colrnclx")
    data[place + 8 : place + 12] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


def of_one(colour: tuple[int, ...], **chunks: bytes) -> bytes:
    return png(64, 64, 8, 2, (b"\0" + bytes(colour) * 64) * 64, **chunks)


def shown(data: bytes) -> tuple[int, ...]:
    return load_image(data).getpixel((30, 30))


def bytes_of(light: float) -> float:
    """sRGB's formula."""
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", CODED)
@pytest.mark.parametrize(("stored", "srgb"), IN_P3)
def test_display_p3(stored: tuple[int, ...], srgb: tuple[int, ...], kind: str) -> None:
    np.testing.assert_allclose(shown(coded(stored, P3, LIKE_SRGB, kind)), srgb, atol=5)


@pytest.mark.parametrize("primary", range(3))
def test_rec_2020(primary: int) -> None:
    """ITU-R BT.2087's matrix from BT.709's primaries."""
    matrix = np.array(
        [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    )
    stored = tuple(round(bytes_of(light)) for light in matrix[:, primary])
    expected = [255 * (channel == primary) for channel in range(3)]
    np.testing.assert_allclose(shown(coded(stored, REC_2020, LIKE_SRGB)), expected, atol=9)


def test_linear_light() -> None:
    assert shown(coded((55, 55, 55), 1, LINEAR)) == (round(bytes_of(55 / 255)),) * 3


@pytest.mark.parametrize("codes", [(1, 13), (1, 1), (2, 2), (1, 6), (77, 99)])
@pytest.mark.parametrize("kind", CODED)
def test_what_means_srgb_or_is_not_known_stays(codes: tuple[int, int], kind: str) -> None:
    if kind == "HEIF":  # libheif opens none whose codes it does not know
        codes = min(codes, (1, 6))
    np.testing.assert_allclose(shown(coded(GREEN, *codes, kind)), GREEN, atol=3)


def test_code_points_precede_a_profile_in_png_only() -> None:
    linear = grey_profile(1.0).replace(b"GRAYXYZ", b"RGB XYZ")
    both = encode(Image.new("RGB", (64, 64), (55,) * 3), "PNG", icc_profile=linear)
    place = both.index(b"iCCP") - 4
    chunk = b"cICP" + bytes([1, LIKE_SRGB, 0, 1])
    check = struct.pack(">I", zlib.crc32(chunk))
    data = both[:place] + struct.pack(">I", 4) + chunk + check + both[place:]
    assert shown(data) == (55,) * 3
    of_profile = encode(Image.new("RGB", (64, 64), (234, 51, 35)), "HEIF", icc_profile=SRGB)
    np.testing.assert_allclose(shown(of_profile), (234, 51, 35), atol=12)


class TestGammaAndChromaticities:
    def test_gamma(self) -> None:
        linear = of_one((55, 55, 55), gAMA=struct.pack(">I", 100_000))
        assert shown(linear) == (round(bytes_of(55 / 255)),) * 3
        mac = of_one((128, 128, 128), gAMA=struct.pack(">I", 55_556))  # γ = 1.8
        np.testing.assert_allclose(shown(mac), bytes_of((128 / 255) ** 1.8), atol=1)

    @pytest.mark.parametrize("gamma", [45_455, 0])
    def test_srgbs_own_and_none(self, gamma: int) -> None:
        assert shown(of_one(GREEN, gAMA=struct.pack(">I", gamma))) == GREEN

    def test_srgb_precedes_both(self) -> None:
        chunks = {"sRGB": b"\0", "gAMA": struct.pack(">I", 100_000), "cHRM": chromaticities(P3_XY)}
        assert shown(of_one(GREEN, **chunks)) == GREEN

    @pytest.mark.parametrize(("stored", "srgb"), IN_P3)
    def test_chromaticities(self, stored: tuple[int, ...], srgb: tuple[int, ...]) -> None:
        np.testing.assert_allclose(shown(of_one(stored, cHRM=chromaticities(P3_XY))), srgb, atol=4)

    def test_another_white_is_white(self) -> None:
        warm = (0.3457, 0.3585, *P3_XY[2:])  # D50
        np.testing.assert_allclose(
            shown(of_one((255,) * 3, cHRM=chromaticities(warm))), 255, atol=1
        )

    @pytest.mark.parametrize("bad", [(0.3,) * 8, (0,) * 8, (0.3127, 0, *(0.1,) * 6)])
    def test_those_that_span_no_colours_are_ignored(self, bad: tuple[float, ...]) -> None:
        assert shown(of_one(GREEN, cHRM=chromaticities(bad))) == GREEN

    def test_grey_of_sixteen_bits(self) -> None:
        row = b"\0" + struct.pack(">H", 55 * 257) * 31 + b"\xff\xff"
        data = png(32, 16, 16, 0, row * 16, gAMA=struct.pack(">I", 100_000))
        assert load_image(data).getpixel((3, 3)) == (round(bytes_of(55 / 255)),) * 3


P3_XY = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)


def chromaticities(values: tuple[float, ...]) -> bytes:
    return struct.pack(">8I", *(round(100_000 * value) for value in values))


class TestBrighterThanWhite:
    """ITU-R BT.2408: reference white, 203 cd/m², is 58 % of PQ and 75 % of HLG."""

    @pytest.mark.parametrize("kind", CODED)
    @pytest.mark.parametrize(("transfer", "share"), [(PQ, 0.5807), (HLG, 0.75)])
    def test_reference_white_is_white(self, transfer: int, share: float, kind: str) -> None:
        stored = (round(255 * share),) * 3
        np.testing.assert_allclose(shown(coded(stored, REC_2020, transfer, kind)), 255, atol=3)

    @pytest.mark.parametrize("transfer", [PQ, HLG])
    def test_eighteen_percent_grey_is_grey(self, transfer: int) -> None:
        """38 % of either is 26 cd/m²; it stays beside light of any strength."""
        grey = round(255 * 0.38)
        row = b"\0" + bytes([grey] * 48 + [255] * 48)
        data = png(32, 16, 8, 2, row * 16, cICP=bytes([REC_2020, transfer, 0, 1]))
        loaded = load_image(data)
        np.testing.assert_allclose(loaded.getpixel((3, 3)), bytes_of(26 / 203), atol=4)
        assert loaded.getpixel((30, 3)) == (255,) * 3

    def test_highlights_are_told_apart_by_bt_2390(self) -> None:
        """The curve in PQ's own numbers, computed once more."""
        stored = np.arange(40, 256, 8)
        row = b"\0" + b"".join(bytes([value] * 3) for value in stored)
        data = png(len(stored), 16, 8, 2, row * 16, cICP=bytes([REC_2020, PQ, 0, 1]))
        loaded = load_image(data)
        found = [loaded.getpixel((x, 3))[0] for x in range(len(stored))]
        top, white = stored[-1] / 255, 0.58069
        most = white / top
        knee = 1.5 * most - 0.5
        for value, grey in zip(stored, found, strict=True):
            e = value / 255 / top
            if e > knee:
                t = (e - knee) / (1 - knee)
                e = (
                    (2 * t**3 - 3 * t**2 + 1) * knee
                    + (t**3 - 2 * t**2 + t) * (1 - knee)
                    + (-2 * t**3 + 3 * t**2) * most
                )
            assert grey == pytest.approx(bytes_of(min(nits(e * top) / 203, 1)), abs=1.5)
        assert found == sorted(found)

    def test_a_hue_stays_a_hue(self) -> None:
        row = b"\0" + bytes([180, 120, 120] * 16 + [230, 230, 230] * 16)
        data = png(32, 16, 8, 2, row * 16, cICP=bytes([1, PQ, 0, 1]))
        r, g, b = load_image(data).getpixel((3, 3))
        assert r > g == b
        light = [((v / 255 + 0.055) / 1.055) ** 2.4 for v in (r, g)]
        assert light[1] / light[0] == pytest.approx(nits(120 / 255) / nits(180 / 255), rel=0.1)


def nits(share: float) -> float:
    """SMPTE ST 2084."""
    root = share ** (1 / 78.84375)
    return 10_000 * (max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578)
