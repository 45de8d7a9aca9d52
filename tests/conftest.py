"""Fixtures: a small random model of every family, and a photo."""

from __future__ import annotations

import pytest
from families import FAMILIES, make_photo, random_module
from PIL import Image

import vitviz


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def vit(family: str) -> vitviz.Vit:
    return vitviz.from_module(random_module(family))


@pytest.fixture
def photo() -> Image.Image:
    return make_photo()
