"""Test pictures, their files, and what they look like once opened."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, features

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (40, 50, 210), (255, 255, 255)

# What ImageCms calls sRGB: a matrix profile whose parts are at known places in its tag table.
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


FORMATS = [
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    *(["AVIF"] if features.check("avif") else []),
]


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
    if kind == "HEIF":  # Pillow cannot write it by itself
        pillow_heif.from_pillow(image).save(buffer, **options)
    else:
        image.save(buffer, kind, **options)
    return buffer.getvalue()


def many_scans(scans: int, side: int = 64) -> bytes:
    """A sound progressive JPEG of so many scans: the last one again and again."""
    data = encode(quarters(side), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (scans - data.count(b"\xff\xda")) + data[-2:]


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


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def png(
    width: int, height: int, depth: int = 8, kind: int = 2, data: bytes = b"", **more: bytes
) -> bytes:
    """A PNG file written by hand, in `more` its further chunks; without data it only claims a size.

    Args:
        depth: bits a channel.
        kind: 0 for grey, 2 for RGB.
        data: the rows, each of them after a byte 0.
    """
    chunks = {
        "IHDR": struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0),
        **more,
        "IDAT": zlib.compress(data),
        "IEND": b"",
    }
    file = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks.items():
        named = name.encode() + body
        file += struct.pack(">I", len(body)) + named + struct.pack(">I", zlib.crc32(named))
    return file


def profile(primaries: list[list[float]], gamma: float | None = None) -> bytes:
    """A colour profile made of sRGB's own: other primaries (X, Y, Z of red, green and blue under
    D50), and a plain power for its curve if one is given."""
    data = bytearray(SRGB)
    for name, offset in tags(data).items():
        if name.endswith("XYZ") and name[0] in "rgb":
            xyz = primaries["rgb".index(name[0])]
            data[offset + 8 : offset + 20] = struct.pack(">3i", *(round(v * 2**16) for v in xyz))
        elif name.endswith("TRC") and gamma is not None:
            data[offset + 12 : offset + 32] = struct.pack(
                ">5i", round(gamma * 2**16), 2**16, 0, 0, 0
            )
    return bytes(data)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey whose curve is a plain power."""
    return profile([[0.0] * 3] * 3, gamma).replace(b"RGB XYZ", b"GRAYXYZ").replace(b"rTRC", b"kTRC")


def ink_profile() -> bytes:
    """A CMYK profile by which black ink alone counts: its share takes CIE L* from 100 to 0."""
    curve = bytes(range(256))
    nodes = bytes([255, 128, 128, 0, 128, 128]) * 2**3
    identity = struct.pack(">9i", *(np.eye(3, dtype=int).ravel() * 2**16).tolist())
    table = b"mft1" + bytes([0, 0, 0, 0, 4, 3, 2, 0]) + identity + curve * 4 + nodes + curve * 3
    header = bytearray(SRGB[:128])
    header[8:24] = bytes([2, 0x40, 0, 0]) + b"prtrCMYKLab "
    body = struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table
    header[:4] = struct.pack(">I", len(header) + len(body))
    return bytes(header) + body


def tags(data: bytes | bytearray) -> dict[str, int]:
    """Where each part of a colour profile lies."""
    count = struct.unpack_from(">I", data, 128)[0]
    entries = [struct.unpack_from(">4sII", data, 132 + 12 * i) for i in range(count)]
    return {name.decode(): offset for name, offset, _ in entries}
