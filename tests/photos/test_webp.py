"""A WebP's size from its header, beside what its decoder says."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, with_orientation
from PIL import Image

from vitviz.photos.webp import webp_size

SIDES = st.integers(1, 900)


@given(SIDES, SIDES, st.sampled_from([{}, {"lossless": True}, {"exif": with_orientation(6)}]))
@settings(max_examples=30, deadline=None)
def test_as_the_decoder_says(width: int, height: int, options: dict[str, object]) -> None:
    data = encode(Image.new("RGB", (width, height)), "WEBP", method=0, **options)
    assert webp_size(data) == Image.open(io.BytesIO(data)).size == (width, height)


def test_an_animation() -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    assert webp_size(data) == (40, 30)


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"RIFF0000WAVEfmt ", b"RIFF0000WEBPnone" + b"1" * 40]
)
def test_what_is_no_webp(data: bytes) -> None:
    assert webp_size(data) is None
