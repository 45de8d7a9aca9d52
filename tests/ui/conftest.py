"""Fixtures of the pages' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from light_model import light_pages

from vitviz.ui import app
from vitviz.ui.visit.opening import allowance
from vitviz.ui.visit.shared_samples import shared_samples


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> None:
    """No test finds what another has brought, or left of a sample; but lessons' tests, and those of
    the names in them, share the samples and what takes long, as visitors do."""
    if not request.path.name.startswith(("test_lesson", "test_class_names")):
        shared_samples.clear()
    allowance.clear()


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages run a light model in place of the bundled one."""
    with light_pages(monkeypatch):
        yield


@pytest.fixture(scope="class")
def light_for_all() -> Iterator[None]:
    """The same, and what pages keep for all visitors, for all tests of a class."""
    with pytest.MonkeyPatch.context() as patch, light_pages(patch):
        yield


@pytest.fixture(autouse=True)
def _no_memory_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest's server is no real one and ends with each test; a thread would outlive it."""

    def nothing() -> None:
        pass

    monkeypatch.setattr(app, "give_back_again_and_again", nothing)
