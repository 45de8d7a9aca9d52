"""Photos opened in processes of their own: the same pictures, and an end to what takes too long."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest
from pictures import FORMATS, assert_quarters, encode, many_scans, png, quarters, with_orientation
from PIL import Image

import vitviz
from vitviz import ImageError
from vitviz.photos import decoders as module
from vitviz.photos.decoders import SCRIPT, Decoders

PHOTO = encode(quarters(), "PNG")
SLOW = many_scans(100, 5_000)  # seconds of work in a small file that no marker tells
NEVER_ENDS = [sys.executable, "-c", "import time; time.sleep(600)"]
COSTLY = "too much time or memory"


@pytest.fixture(scope="module")
def decoders() -> Decoders:
    return Decoders()


@pytest.mark.parametrize("kind", [*FORMATS, "HEIF"])
def test_the_same_as_without_a_process(decoders: Decoders, kind: str) -> None:
    exif = {} if kind in ("GIF", "BMP") else {"exif": with_orientation(6)}
    data = encode(quarters().crop((0, 0, 64, 40)), kind, **exif)
    here, there = vitviz.load_image(data), decoders.load_image(data)
    assert (there.mode, there.size, there.info) == (here.mode, here.size, {})
    assert there.tobytes() == here.tobytes()


def test_stretched_greys_are_told(decoders: Decoders) -> None:
    data = encode(
        Image.fromarray(np.linspace(-2, 7, 400, dtype=np.float32).reshape(20, 20)), "TIFF"
    )
    assert decoders.load_image(data).info == vitviz.load_image(data).info == {"stretched": (-2, 7)}


def test_a_large_photo_comes_smaller(decoders: Decoders) -> None:
    photo = decoders.load_image(encode(quarters(6_000), "JPEG", exif=with_orientation(3)))
    assert photo.size == (3_000, 3_000)
    assert photo.info == {"reduced": 2}
    assert_quarters(photo.transpose(Image.Transpose.ROTATE_180))


@pytest.mark.parametrize(
    "data", [b"", b"no photo", PHOTO[:60], png(60_000, 10), png(9_000, 9_000), many_scans(400)]
)
def test_the_same_errors(decoders: Decoders, data: bytes) -> None:
    with pytest.raises(ImageError) as here:
        vitviz.load_image(data)
    with pytest.raises(ImageError) as there:
        decoders.load_image(data)
    assert (there.value.id, str(there.value)) == (here.value.id, str(here.value))


def test_what_takes_too_long_is_ended_and_the_next_photo_opens() -> None:
    decoders = Decoders(at_once=1, seconds=1)
    for _ in range(2):
        with pytest.raises(ImageError, match=COSTLY):
            decoders.load_image(SLOW)
        assert decoders.load_image(PHOTO).size == (64, 64)


def test_what_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by processor time: a process that has come to rest."""
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    decoders = Decoders(at_once=1)
    decoders._command = NEVER_ENDS
    with pytest.raises(ImageError, match=COSTLY):
        decoders.load_image(PHOTO)


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit(3)",
        "pass",
        "print('{\"size\": [64, 64], \"info\": {}}'); print('cut off')",
    ],
)
def test_what_ends_before_it_has_answered_gets_a_sentence(code: str) -> None:
    decoders = Decoders(at_once=1)
    decoders._command = [sys.executable, "-c", f"import sys; sys.stdin.buffer.read(); {code}"]
    with pytest.raises(ImageError, match="could not be opened just now"):
        decoders.load_image(PHOTO)


def test_what_takes_too_much_memory_is_refused_and_the_next_photo_opens() -> None:
    data = encode(Image.new("RGB", (7_000, 7_000)), "PNG")
    decoders = Decoders(at_once=1, most_bytes=300 * 2**20)
    with pytest.raises(ImageError, match=COSTLY):
        decoders.load_image(data)
    assert decoders.load_image(PHOTO).size == (64, 64)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_that_would_take_too_much_memory_is_refused_at_once(
    decoders: Decoders, lossless: bool
) -> None:
    """By its header, before its decoder is started; 2 kB are enough for a gigabyte."""
    data = encode(Image.new("RGB", (7_000, 7_000)), "WEBP", lossless=lossless, method=0)
    with pytest.raises(ImageError) as met:
        decoders.load_image(data)
    assert met.value.id == "webp_too_many_pixels"
    assert met.value.values["count"] == 25


@pytest.mark.parametrize(
    ("kind", "mode", "size", "options"),
    [
        ("WEBP", "RGBA", (5_000, 5_000), {"lossless": True, "method": 0}),
        ("PNG", "RGBA", (7_000, 7_000), {"compress_level": 1}),
        ("JPEG", "CMYK", (7_000, 7_000), {"progressive": True, "subsampling": 0}),
        ("TIFF", "F", (7_000, 7_000), {"compression": "tiff_deflate", "strip_size": 2**31 - 1}),
        ("TIFF", "RGBA", (7_000, 7_000), {"compression": "tiff_deflate", "strip_size": 2**31 - 1}),
    ],
)
def test_the_largest_photos_open_in_the_memory_that_there_is(
    decoders: Decoders, kind: str, mode: str, size: tuple[int, int], options: dict[str, object]
) -> None:
    photo = decoders.load_image(encode(Image.new(mode, size), kind, **options))
    assert photo.size == (size[0] // 2, size[1] // 2)


def test_a_slow_file_does_not_hold_up_another_visitor() -> None:
    decoders = Decoders(at_once=2)
    slow = subprocess.Popen(NEVER_ENDS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for ready in (slow, None):
        decoders._free.get()
        decoders._free.put(ready)

    def attack() -> None:
        with suppress(ImageError):
            decoders.load_image(SLOW)

    thread = threading.Thread(target=attack)
    thread.start()
    while decoders._free.qsize() > 1:  # until it has its process
        pass
    assert decoders.load_image(PHOTO).size == (64, 64)
    assert thread.is_alive()
    slow.kill()
    thread.join()


def test_a_decoder_that_something_else_ended_is_replaced() -> None:
    decoders = Decoders(at_once=1)
    decoders.load_image(PHOTO)
    ready = decoders._free.get()
    assert ready is not None
    os.kill(ready.pid, signal.SIGKILL)
    ready.wait()
    decoders._free.put(ready)
    assert decoders.load_image(PHOTO).size == (64, 64)


def test_a_decoder_ends_with_the_one_who_started_it() -> None:
    """All that is left of that one is the end of a pipe, which no other process keeps open."""
    decoders = Decoders(at_once=2)
    for _ in range(2):
        decoders.load_image(PHOTO)
    first, second = decoders._free.get(), decoders._free.get()
    assert first is not None
    assert second is not None
    assert first.stdin is not None
    first.stdin.close()
    first.wait()
    assert second.poll() is None


def test_it_starts_without_torch_and_streamlit() -> None:
    code = f"""
import runpy, sys
sys.argv = ["decode_process.py", "5", str(2**30), "4096", "4096"]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
assert not {{"torch", "timm", "streamlit", "matplotlib", "cv2"}} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], input=PHOTO, capture_output=True, check=True
    )
    head, pixels = done.stdout.split(b"\n", 1)
    assert head == b'{"size": [64, 64], "info": {}}'
    assert (
        Image.frombytes("RGB", (64, 64), pixels).tobytes()
        == vitviz.load_image(io.BytesIO(PHOTO)).tobytes()
    )
