"""What a WebP's header says, before its decoder takes memory for the whole picture twice."""

from __future__ import annotations

__all__ = ["webp_size"]


def webp_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of the canvas; None if this is no WebP.

    https://developers.google.com/speed/webp/docs/riff_container
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    match data[12:16]:
        case b"VP8X":
            return _number(data, 24, 3) + 1, _number(data, 27, 3) + 1
        case b"VP8L":
            bits = _number(data, 21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return _number(data, 26, 2) & 0x3FFF, _number(data, 28, 2) & 0x3FFF
    return None


def _number(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length], "little")
