"""What is missing of a JPEG that lacks its end marker: that alone, or pixels too."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

__all__ = ["ended"]

END = b"\xff\xd9"
BITS = [b"\xaa", b"\x55", b"\xcc", b"\x99", b"\x33", b"\x6d\xb6\xdb", b"\xe3\x8e\x38", b"\xb4"]
MORE = [  # bits of several kinds, also behind the restart that may be due
    200 * bits + bytes([0xFF, marker]) + 200 * bits
    for bits, marker in zip(BITS, range(0xD0, 0xD8), strict=True)
]

PROGRESSIVE, SCAN, END_OF_IMAGE = (0xC2, 0xCA), 0xDA, 0xD9  # segments, by their marker
NO_SEGMENTS = {0x00, 0x01, *range(0xD0, 0xD9)}  # a byte of pixels, and markers that stand alone
COEFFICIENTS = range(64)


def ended(data: bytes) -> Image.Image | None:
    """A JPEG with an end marker added; None if pixels are missing. What follows a whole picture
    changes nothing, and in a cut one it becomes pixels, except between the scans of a progressive
    one, whose headers say what is still to come."""
    whole = _open(data + END)
    if _awaits_scans(data):
        return None
    stuffed = data + b"\0" * data.endswith(b"\xff")
    same = (_open(stuffed + more + END).tobytes() == whole.tobytes() for more in MORE)
    return whole if all(same) else None


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=["JPEG"])


def _awaits_scans(data: bytes) -> bool:
    """Whether scans of a progressive JPEG are missing: it tells each coefficient of each component
    in one scan, or its upper bits first and the others one by one (ITU-T T.81, G.1.1)."""
    bits_to_come: dict[tuple[int, int], int] = {}
    for marker, body in _segments(data):
        if marker in PROGRESSIVE:
            components = body[6 : 6 + 3 * body[5] : 3]
            bits_to_come = {(c, k): 1 for c in components for k in COEFFICIENTS}
        elif marker == SCAN and bits_to_come:
            components, (first, last, bits) = body[1:-3:2], body[-3:]
            bits_to_come |= {(c, k): bits & 15 for c in components for k in range(first, last + 1)}
    return any(bits_to_come.values())


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole segments of a JPEG's first picture, (marker, body)."""
    place = 0
    while 0 <= (place := data.find(b"\xff", place)) < len(data) - 3:
        marker = data[place + 1]
        if marker == END_OF_IMAGE:
            return
        if marker in NO_SEGMENTS or marker == 0xFF:  # which may fill the place before a marker
            place += 1 if marker == 0xFF else 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if end > len(data):
            return
        yield marker, data[place + 4 : end]
        place = end
