"""What a JPEG's markers say: how many scans it has, and what is missing of one that was cut."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import islice

from PIL import Image

__all__ = ["ended", "scan_count"]

END = b"\xff\xd9"
BITS = [b"\xaa", b"\x55", b"\xcc", b"\x99", b"\x33", b"\x6d\xb6\xdb", b"\xe3\x8e\x38", b"\xb4"]
MORE = [  # bits of several kinds, also behind the restart that may be due
    200 * bits + bytes([0xFF, marker]) + 200 * bits
    for bits, marker in zip(BITS, range(0xD0, 0xD8), strict=True)
]

PROGRESSIVE, SCAN, END_OF_IMAGE = (0xC2, 0xCA), 0xDA, 0xD9  # segments, by their marker
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # of all but those that stand alone
COEFFICIENTS = range(64)


def scan_count(data: bytes, most: int) -> int:
    """How many scans a JPEG has; counting ends at `most`."""
    scans = (1 for marker, _ in _segments(data) if marker == SCAN)
    return sum(islice(scans, most))


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
    while (found := MARKER.search(data, place)) and found[1][0] != END_OF_IMAGE:
        start = found.end()
        place = start + int.from_bytes(data[start : start + 2])
        if place > len(data):
            return
        yield found[1][0], data[start + 2 : place]
