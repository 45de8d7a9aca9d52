"""A photo of the visitor's own: its recording is let go while nobody looks, and comes back."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from weakref import ref

import pytest
import torch
from families import random_module
from light_model import light_model
from pages import PATIENCE, at
from streamlit.testing.v1 import AppTest
from visits import session

import vitviz
from vitviz.recording.record import with_layers, without_layers
from vitviz.ui.visit import kept
from vitviz.ui.visit.kept import IDLE, Kept, let_go_of_idle

COFFEE = next(sample.path for sample in vitviz.samples() if sample.id == "coffee")


def made() -> vitviz.Recording:
    return vitviz.record(light_model(), COFFEE)


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_layers_come_back_as_they_were() -> None:
    rec = made()
    rec.derived.keep("key", 1)
    less = without_layers(rec)
    assert less.layers == ()
    again = with_layers(less)
    for layer in range(rec.num_layers):
        torch.testing.assert_close(again.attention(layer), rec.attention(layer))
        torch.testing.assert_close(again.layers[layer].value, rec.layers[layer].value)
    assert again.derived is less.derived is rec.derived
    assert again.predictions == rec.predictions
    assert (again.box, again.input_hash) == (rec.box, rec.input_hash)
    assert (again.photo, again.fingerprint) == (rec.photo, rec.fingerprint)


def test_who_pools_by_attention_has_its_pool_again() -> None:
    rec = vitviz.record(vitviz.from_module(random_module("siglip")), COFFEE)
    assert rec.pool is not None
    assert without_layers(rec).pool is None
    again = with_layers(without_layers(rec)).pool
    assert again is not None
    torch.testing.assert_close(again.rows(slice(None)), rec.pool.rows(slice(None)))


def test_it_is_let_go_when_nobody_has_asked_for_a_while() -> None:
    rec, clock = made(), Clock()
    held, layers = Kept(rec, rests=True, clock=clock), ref(rec.layers[0])
    del rec
    clock.now = IDLE
    let_go_of_idle()
    assert held.is_whole
    held.get()
    clock.now = 2 * IDLE
    let_go_of_idle()
    assert held.is_whole  # asked for in between
    clock.now = 2 * IDLE + 1
    let_go_of_idle()
    gc.collect()
    assert not held.is_whole
    assert layers() is None
    assert len(held.get().layers) > 0
    assert held.is_whole
    let_go_of_idle()
    assert held.is_whole  # it was asked for just now


def test_what_others_share_stays() -> None:
    rec, clock = made(), Clock()
    held = Kept(rec, rests=False, clock=clock)
    clock.now = 2 * IDLE
    let_go_of_idle()
    assert held.get() is rec


def test_the_model_runs_once_for_all_who_ask() -> None:
    rec, clock = made(), Clock()
    held = Kept(rec, rests=True, clock=clock)
    clock.now = 2 * IDLE
    let_go_of_idle()
    runs: list[int] = []
    hook = rec.vit.module.register_forward_pre_hook(lambda *_: runs.append(1))
    with ThreadPoolExecutor(4) as pool:
        found = {id(found) for found in pool.map(lambda _: held.get(), range(8))}
    hook.remove()
    assert (len(found), len(runs)) == (1, 1)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("name", ["explore", "compare", "heads", "journey"])
def test_no_page_holds_what_is_let_go(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit keeps what a page's controls and downloads call."""
    script = f"""
from pathlib import Path

from vitviz.ui.controls.photo_picker import open_photo
from vitviz.ui.pages import {name}
from vitviz.ui.visit.state import visit

visit().own = visit().own or open_photo(Path({str(COFFEE)!r}).read_bytes(), "coffee.jpg")
{name}.page()
"""
    app = at(AppTest.from_string(script, default_timeout=PATIENCE))
    before, layers = session(app), ref(session(app).rec.layers[0])
    monkeypatch.setattr(kept, "IDLE", -1.0)
    let_go_of_idle()
    monkeypatch.undo()
    gc.collect()
    assert layers() is None
    app.run()
    assert not app.exception
    assert session(app) is before
    assert len(before.rec.layers) > 0
