"""Fixtures of the pages' tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from light_model import light_pages

from vitviz.ui import app
from vitviz.ui.visit.opening import allowance
from vitviz.ui.visit.session import Session
from vitviz.ui.visit.shared_samples import SharedSamples, shared_samples
from vitviz.zoo.catalogue import BUNDLED

RECORDED: dict[tuple[int, str, bool], Session] = {}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> None:
    """No test finds what another left of a sample, or has brought."""
    shared_samples.clear()
    allowance.clear()


@pytest.fixture
def _recorded_anew() -> None:
    """For tests of when the model runs: it does as in the app."""


@pytest.fixture(autouse=True)
def _samples_are_recorded_once(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundled model's run on a sample is the same in every test; what is computed from it is
    each test's own."""
    if "_recorded_anew" in request.fixturenames:
        return
    find, keep = SharedSamples.find, SharedSamples.keep

    def found(samples: SharedSamples, vit: object, photo_key: str, whole: bool) -> Session | None:
        if made := find(samples, vit, photo_key, whole):
            return made
        first = RECORDED.get((id(vit), photo_key, whole))
        return first and keep(samples, replace(first, rec=replace(first.rec)))

    def kept(samples: SharedSamples, made: Session) -> Session:
        if made.model.name == BUNDLED:
            RECORDED.setdefault((id(made.rec.vit), made.photo.key, made.whole), made)
            made = replace(made, rec=replace(made.rec))
        return keep(samples, made)

    monkeypatch.setattr(SharedSamples, "find", found)
    monkeypatch.setattr(SharedSamples, "keep", kept)


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages run a light model in place of the bundled one."""
    with light_pages(monkeypatch):
        yield


@pytest.fixture(autouse=True)
def _no_memory_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest's server is no real one and ends with each test; a thread would outlive it."""

    def nothing() -> None:
        pass

    monkeypatch.setattr(app, "give_back_again_and_again", nothing)
