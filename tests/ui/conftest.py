"""Fixtures of the pages' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from light_model import light_pages


@pytest.fixture
def light() -> Iterator[None]:
    """Pages run a light model in place of the bundled one."""
    with light_pages():
        yield
