"""A recording to measure."""

from __future__ import annotations

import pytest
from families import random_classifier
from PIL import Image

import vitviz
from vitviz.recording.recording import Recording


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    return vitviz.record(vitviz.from_module(random_classifier("vit")), photo)
