"""Photos of strangers, decoded in processes that can be ended: a thread cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from PIL import Image

from vitviz.errors import ImageError
from vitviz.photos.load import too_costly

__all__ = ["Decoders"]

AT_ONCE = 3
SECONDS = 5  # of processor time for a photo
PATIENCE = 30.0  # seconds for the same while the processor is shared with others
MOST_BYTES = 9 * 2**26  # of memory for a photo: 576 MB
MOST_PIXELS = 16_000_000  # of a photo as it is given back
START_BYTES, WEBP_BYTES = 140 * 2**20, 18  # of memory: to begin with, and for each pixel of a WebP
SCRIPT = Path(__file__).with_name("decode_process.py")


class Decoders:
    """Opens photos as `load_image` does, each in a process of its own, which ends with it.

    A photo of more than 16 megapixels is made smaller, see `open_image`.

    A few at once; who comes then waits for the first that is done. The next process is started
    ahead, so that nobody waits for Python.

    Args:
        at_once: processes.
        seconds: of processor time that a photo may take.
        most_bytes: of memory that a process may take.

    Examples:
        >>> Decoders().load_image(Path("dog.jpg").read_bytes()).mode
        'RGB'
    """

    def __init__(
        self, at_once: int = AT_ONCE, seconds: int = SECONDS, most_bytes: int = MOST_BYTES
    ) -> None:
        self._command = [
            sys.executable,
            "-P",
            str(SCRIPT),
            *map(str, (seconds, most_bytes, MOST_PIXELS, (most_bytes - START_BYTES) // WEBP_BYTES)),
        ]
        self._free: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()
        for _ in range(at_once):
            self._free.put(None)  # started when it is needed

    def load_image(self, data: bytes) -> Image.Image:
        """As the function of this name.

        Raises:
            ImageError: as there, and if it took too much time or memory.
        """
        process = self._free.get()
        try:
            if process is None or process.poll() is not None:  # something else ended it
                process = self._start()
            return _photo(_answer(process, data))
        finally:
            self._free.put(self._started_ahead())

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # its threads count as memory
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _started_ahead(self) -> subprocess.Popen[bytes] | None:
        with suppress(OSError):  # out of memory or processes for now
            return self._start()
        return None


def _answer(process: subprocess.Popen[bytes], data: bytes) -> bytes:
    """All that a process says of a file. Whatever ended it, it has ended."""
    with process:
        try:
            answer, _ = process.communicate(data, PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise too_costly() from error
        finally:
            process.kill()
    if process.returncode < 0:  # by a limit, or because the decoder broke down
        raise too_costly()
    if process.returncode > 0:
        raise _interrupted()
    return answer


def _interrupted() -> ImageError:
    """The error where a process has ended before it had answered, though no limit ended it."""
    return ImageError(
        "opening_interrupted", "The image could not be opened just now; send it again."
    )


def _photo(answer: bytes) -> Image.Image:
    """The photo, or the error, that a process answered with."""
    end = answer.find(b"\n")
    if end < 0:
        raise _interrupted()
    head = json.loads(answer[:end])
    if "error" in head:
        raise ImageError(*head["error"], **head["values"])
    width, height = head["size"]
    pixels = np.frombuffer(answer, np.uint8, offset=end + 1)
    if len(pixels) != width * height * 3:
        raise _interrupted()
    photo = Image.fromarray(pixels.reshape(height, width, 3))
    photo.info = {
        name: tuple(value) if isinstance(value, list) else value  # JSON knows no tuples
        for name, value in head["info"].items()
    }
    return photo
