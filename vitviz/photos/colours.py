"""What the numbers of a picture mean as colours, brought to sRGB.

A file says it by an embedded profile (ICC), by code points of ITU-T H.273 (nclx in HEIC and AVIF,
cICP in PNG), or by PNG's gAMA and cHRM. Light that is brighter than white, as HDR photos have it,
is rolled off as ITU-R BT.2390 does for a screen whose white is HDR's reference white.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

__all__ = ["Space", "space_of", "to_srgb"]

PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a colour profile's kind of colours

Floats = NDArray[np.float64]
Chromaticities = tuple[float, ...]
"""CIE x, y of white, red, green and blue."""

D65, DCI, C = (0.3127, 0.3290), (0.314, 0.351), (0.310, 0.316)
SRGB: Chromaticities = (*D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
PRIMARIES: dict[int, Chromaticities] = {  # ITU-T H.273, table 2
    4: (*C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (*DCI, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
SRGB_GAMMA = 0.45455
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

WHITE = 203.0  # cd/m², HDR's reference white: ITU-R BT.2408
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2  # of the screen that HLG is graded on: ITU-R BT.2100
AT_ONCE = 2**20  # pixels converted at a time, in floats


def _srgb(stored: Floats) -> Floats:
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)


def _pq(stored: Floats) -> Floats:
    """SMPTE ST 2084, in units of white."""
    root = stored ** (32 / 2523)
    ratio = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
    return 10_000 / WHITE * ratio ** (16384 / 2610)


def _from_pq(light: Floats) -> Floats:
    root = (light * WHITE / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)


def _hlg(stored: Floats) -> Floats:
    """ITU-R BT.2100's light of the scene, 0 to 1."""
    bright = (np.exp((stored - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(stored <= 0.5, stored**2 / 3, bright)


PQ, HLG = 16, 18
# ITU-T H.273, table 3. Those of television (1, 6, 14, 15) are a camera's; what they look like on
# a screen is shown by sRGB's, as browsers do.
CURVES: dict[int, Callable[[Floats], Floats]] = {
    4: lambda stored: stored**2.2,
    5: lambda stored: stored**2.8,
    8: lambda stored: stored,
    PQ: _pq,
    HLG: _hlg,
}


@dataclass(frozen=True)
class Space:
    """What RGB numbers from 0 to 1 mean.

    Attributes:
        chromaticities: of white and the primaries.
        curve: numbers → light.
        hdr: PQ or HLG, whose light may be brighter than white.
        over_profile: whether it counts although there is an embedded profile.
    """

    chromaticities: Chromaticities = SRGB
    curve: Callable[[Floats], Floats] = _srgb
    hdr: int | None = None
    over_profile: bool = False


def space_of(image: Image.Image, data: bytes) -> Space:
    """What a file says of its colours other than by a profile; sRGB where it says nothing.

    Args:
        image: opened from the file, not yet changed.
        data: the file.
    """
    if "nclx_profile" in image.info:
        codes = image.info["nclx_profile"]
        return _coded(codes["color_primaries"], codes["transfer_characteristics"])
    if image.format == "AVIF" and (place := data.find(b"colrnclx")) >= 0:
        # The first is the photo's own; Pillow does not tell.
        primaries, transfer = struct.unpack_from(">HH", data[: place + 12].ljust(4), place + 8)
        return _coded(primaries, transfer)
    if image.format != "PNG":
        return Space()
    if (codes := _chunk(data, b"cICP")) and len(codes) == 4:
        return _coded(codes[0], codes[1], over_profile=True)
    return Space() if "srgb" in image.info else _of_png(image)


def to_srgb(image: Image.Image, space: Space) -> Image.Image:
    """RGB of any 8-bit mode, its colours as its embedded profile or its space means them.

    A profile that is damaged, or of another kind of colours, is ignored; so are primaries that span
    no colours.
    """
    if not space.over_profile:
        with suppress(OSError, ImageCms.PyCMSError):
            if converted := _by_profile(image):
                return converted
    rgb = image.convert("RGB")
    if (space.chromaticities, space.curve) != (SRGB, _srgb):
        with suppress(np.linalg.LinAlgError):
            return Image.fromarray(_converted(np.asarray(rgb), space))
    return rgb


def _by_profile(image: Image.Image) -> Image.Image | None:
    if not (data := image.info.get("icc_profile")):
        return None
    base = "CMYK" if image.mode == "CMYK" else Image.getmodebase(image.mode)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    mode = PROFILE_MODES.get(profile.profile.xcolor_space)
    if mode not in (base, "RGB"):
        return None
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image.convert(mode), profile, srgb, outputMode="RGB")


def _coded(primaries: int, transfer: int, *, over_profile: bool = False) -> Space:
    """By code points of H.273; those that are not known here count as sRGB's."""
    hdr = transfer if transfer in (PQ, HLG) else None
    curve = CURVES.get(transfer, _srgb)
    return Space(PRIMARIES.get(primaries, SRGB), curve, hdr, over_profile)


def _of_png(image: Image.Image) -> Space:
    """By gAMA and cHRM. The gamma that is written along with sRGB stands for sRGB's own curve."""
    gamma = image.info.get("gamma", SRGB_GAMMA)
    chromaticities = image.info.get("chromaticity", SRGB)
    return Space(
        SRGB if np.allclose(chromaticities, SRGB, atol=1e-3) else chromaticities,
        _srgb if gamma in (SRGB_GAMMA, 0) else lambda stored: stored ** (1 / gamma),
    )


def _chunk(data: bytes, wanted: bytes) -> bytes | None:
    """The content of a PNG's chunk in front of its pixels."""
    place = 8
    while (name := data[place + 4 : place + 8]) not in (b"IDAT", b""):
        length = int.from_bytes(data[place : place + 4])
        if name == wanted:
            return data[place + 8 : place + 8 + length]
        place += 12 + length
    return None


def _converted(stored: NDArray[np.uint8], space: Space) -> NDArray[np.uint8]:
    """RGB bytes (height, width, 3) of a space → sRGB's; colours beyond sRGB are clipped."""
    to_xyz = _to_xyz(space.chromaticities)
    matrix = np.linalg.inv(_to_xyz(SRGB)) @ to_xyz
    light_of = space.curve(np.arange(256) / 255)
    peak = float(light_of[stored.max()])
    if space.hdr == HLG:
        peak = peak**HLG_GAMMA * HLG_PEAK / WHITE
    result = np.empty_like(stored)
    for part in _parts(stored):
        light = light_of[stored[part]]
        if space.hdr == HLG:
            luminance = light @ to_xyz[1]
            light *= luminance[..., None] ** (HLG_GAMMA - 1) * HLG_PEAK / WHITE
        if space.hdr and peak > 1:
            light = _rolled_off(light, peak)
        result[part] = _eight_bits(light @ matrix.T)
    return result


def _parts(pixels: NDArray[np.uint8]) -> Iterator[slice]:
    rows = max(1, AT_ONCE // pixels.shape[1])
    return (slice(row, row + rows) for row in range(0, len(pixels), rows))


def _rolled_off(light: Floats, peak: float) -> Floats:
    """Light up to `peak` → up to 1, (…, 3): BT.2390's curve on each pixel's largest channel, so
    that hues stay. What is darker than its knee stays as it is."""
    most = light.max(axis=-1)
    top = _from_pq(np.array(peak))
    white = _from_pq(np.array(1.0)) / top
    knee = 1.5 * white - 0.5
    given = _from_pq(most) / top
    t = np.clip((given - knee) / (1 - knee), 0, 1)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * white
    )
    target = np.where(given < knee, most, _pq(bent * top))
    return light * (target / np.maximum(most, 1e-12))[..., None]


def _to_xyz(chromaticities: Chromaticities) -> Floats:
    """(3, 3): linear RGB → CIE XYZ under D65, white adapted by Bradford's matrix.

    Raises:
        LinAlgError: if the primaries span no colours.
    """
    x, y = np.array(chromaticities).reshape(4, 2).T
    if (y <= 0).any():
        raise np.linalg.LinAlgError
    white, *primaries = np.stack([x / y, np.ones(4), (1 - x - y) / y]).T
    unscaled = np.stack(primaries, axis=1)
    matrix: Floats = unscaled * np.linalg.solve(unscaled, white)
    target = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    cones = (BRADFORD @ target) / (BRADFORD @ white)
    return np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ matrix


STEPS = 2**16
_light = np.linspace(0, 1, STEPS)
SRGB_BYTES = np.rint(
    255 * np.where(_light <= 0.0031308, 12.92 * _light, 1.055 * _light ** (1 / 2.4) - 0.055)
).astype(np.uint8)


def _eight_bits(light: Floats) -> NDArray[np.uint8]:
    """Light in units of white → sRGB's bytes."""
    return SRGB_BYTES[np.rint(np.clip(light, 0, 1) * (STEPS - 1)).astype(np.intp)]
