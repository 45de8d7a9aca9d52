"""Decodes one photo, as a process of its own.

    python -P vitviz/photos/decode_process.py SECONDS BYTES PIXELS WEBP_PIXELS < photo

It allows itself so many seconds of processor time and so many bytes of memory; past the first, the
system ends it. Standard output gets {"size": [width, height], "info": …} in a line and then the RGB
pixels, or {"error": [id, sentence], "values": …}. Without torch and Streamlit it starts at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType


def main(seconds: str, most_bytes: str, most_pixels: str, most_of_webp: str) -> None:
    """Answer with the photo on standard input, made smaller if it has more pixels."""
    _limit(int(seconds), int(most_bytes))
    package = ModuleType("vitviz")  # without its public face, which imports torch
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules["vitviz"] = package
    from vitviz.errors import ImageError
    from vitviz.photos.load import open_image, too_costly

    try:
        photo = open_image(sys.stdin.buffer.read(), int(most_pixels), int(most_of_webp))
        _say(photo.tobytes(), size=photo.size, info=photo.info)
    except (ImageError, MemoryError) as error:
        shown = error if isinstance(error, ImageError) else too_costly()
        _say(b"", error=(shown.id, shown.english), values=shown.values)


def _limit(seconds: int, most_bytes: int) -> None:
    if sys.platform == "win32":
        return  # has no such limits; what starts this ends it after a while
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(pixels: bytes, **what: object) -> None:
    sys.stdout.buffer.write(json.dumps(what).encode() + b"\n")
    sys.stdout.buffer.write(pixels)


if __name__ == "__main__":
    main(*sys.argv[1:])
