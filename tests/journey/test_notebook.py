"""A recording, and a heatmap, show themselves in a notebook."""

from __future__ import annotations

import gc
import pickle
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
from families import make_photo, random_module
from journeys import of_channels, recorded
from PIL import Image

import vitviz
from vitviz.journey.page import page
from vitviz.pictures.input import input_picture
from vitviz.pictures.overlay import colorize, overlay


class Frame(HTMLParser):
    """The attributes of the one element that there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_it_is_the_page_in_a_frame() -> None:
    rec = recorded("vit")
    [(tag, attributes)] = Frame(rec._repr_html_()).found
    assert tag == "iframe"
    assert attributes["srcdoc"] == page(rec)


def test_a_model_without_a_journey_says_why() -> None:
    shown = of_channels()._repr_html_()
    assert "does not have one map over all tokens" in shown
    assert [tag for tag, _ in Frame(shown).found] == ["p"]


def picture(heat: vitviz.Heatmap) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(heat._repr_png_())))


def test_a_heatmap_is_its_overlay_over_its_photo() -> None:
    photo = make_photo()
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    heat = vitviz.explain(rec, "attention", (1, 2))
    for shown in (heat, pickle.loads(pickle.dumps(heat))):
        np.testing.assert_array_equal(picture(shown), np.asarray(overlay(photo, heat)))


def test_of_a_large_photo_it_is_small() -> None:
    photo = make_photo().resize((3200, 2400))
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    heat = vitviz.explain(rec, "attention", (1, 2))
    expected = overlay(photo, heat).resize((800, 600), Image.Resampling.BOX)
    assert np.abs(picture(heat).astype(int) - np.asarray(expected)).mean() < 2


def test_of_the_same_input_from_another_photo_it_is_over_the_input() -> None:
    vit = vitviz.from_module(random_module("vit"))
    square, wide = (Image.new("RGB", size, "grey") for size in ((200, 200), (300, 100)))
    first, last = vitviz.record(vit, square), vitviz.record(vit, wide)
    heat, other = (vitviz.explain(rec, "attention") for rec in (first, last))
    assert other.made_from == heat.made_from  # the notebook finds the recording of the last
    assert picture(other).shape == (100, 300, 3)
    rows, cols = first.pixels.shape[-2:]
    times = 448 // max(rows, cols)
    assert picture(heat).shape == (times * rows, times * cols, 3)


def test_of_an_input_a_heatmap_is_its_overlay_over_the_input() -> None:
    """A patch of the model's input is a whole number of pixels wide, so nothing moves."""
    vit = vitviz.from_module(random_module("vit"))
    rec = vitviz.record(vit, vitviz.record(vit, make_photo()).pixels)
    heat = vitviz.explain(rec, "attention", (1, 2))
    given = input_picture(rec.vit, rec.pixels)
    times = 448 // given.width
    size = (times * given.width, times * given.height)
    box = (0.0, 0.0, float(size[0]), float(size[1]))
    expected = overlay(
        given.resize(size, Image.Resampling.LANCZOS), vitviz.Heatmap(heat.values, box, "attention")
    )
    for shown in (heat, pickle.loads(pickle.dumps(heat))):
        np.testing.assert_array_equal(picture(shown), np.asarray(expected))


def test_without_its_recording_it_is_its_colours() -> None:
    rec = vitviz.record(vitviz.from_module(random_module("vit")), make_photo())
    heat = vitviz.explain(rec, "attention")
    del rec
    gc.collect()
    own = vitviz.Heatmap(heat.values, heat.box, "mine")
    for shown in (heat, own):
        times = 448 // max(shown.values.shape)
        small = picture(shown)[::times, ::times]
        np.testing.assert_array_equal(small, colorize(shown.values, "inferno", shown.range))
