"""Many maps at once: what each panel shows, one scale, and the arrays to take away."""

from __future__ import annotations

import warnings
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from families import make_photo
from PIL import Image

import vitviz
from vitviz.heatmap import Heatmap
from vitviz.methods.attention import head_maps
from vitviz.pictures.export import write_attention
from vitviz.pictures.figure import grid_figure
from vitviz.pictures.overlay import shared_scale

BOX = (0.0, 0.0, 160.0, 120.0)


def flat(value: float) -> Heatmap:
    return Heatmap(np.full((2, 2), value, np.float32), BOX, "test")


def drawn(figure: object) -> list[np.ndarray]:
    """The pictures in a figure's panels, row by row."""
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]


def test_each_panel_shows_its_own_map_on_one_scale() -> None:
    values = [[0.0, 0.25], [0.5, 1.0]]
    maps = [[flat(value) for value in row] for row in values]
    titles = ["upper", "lower"], ["left", "right"]
    figure = grid_figure(
        make_photo(), maps, *titles, colormap="viridis", alpha=1.0, smooth=False, scale=(0, 1)
    )
    panels = drawn(figure)
    for value, panel in zip([0.0, 0.25, 0.5, 1.0], panels, strict=True):
        colour = np.array(matplotlib.colormaps["viridis"](value, bytes=True)[:3])
        assert (panel == colour).all()
    shown = [axis.get_title() for axis in figure.axes] + [a.get_ylabel() for a in figure.axes]
    assert {"upper", "lower", "left", "right"} <= set(shown)


def test_only_what_the_model_saw_is_in_a_panel() -> None:
    heat = Heatmap(np.ones((2, 2), np.float32), (40, 0, 160, 120), "test")
    [panel] = drawn(grid_figure(make_photo(), [[heat]], ["r"], ["c"], alpha=0.0))
    assert panel.shape[:2] == (192, 192)  # 120 of 160 px, drawn at 256 / 160


def test_a_figure_becomes_a_file() -> None:
    buffer = BytesIO()
    grid_figure(make_photo(), [[flat(1.0)]], ["r"], ["c"]).savefig(buffer, format="png")
    assert Image.open(buffer).format == "PNG"


def test_one_scale_leaves_a_single_outlier_out() -> None:
    values = np.linspace(0, 1, 999, dtype=np.float32)
    maps = [
        Heatmap(values[:, None], BOX, "test"),
        Heatmap(np.array([[50.0]], np.float32), BOX, "test"),
    ]
    low, high = shared_scale(maps)
    assert low == 0
    assert high == pytest.approx(0.996, abs=1e-3)


def test_head_maps_are_the_attention_method(vit: vitviz.Vit) -> None:
    rec = vitviz.record(vit, make_photo())
    for query in ("cls", (1, 2)):
        maps = head_maps(rec, 1, query)
        assert list(maps) == [None, *range(rec.num_heads(1))]
        for head, heat in maps.items():
            expected = vitviz.explain(rec, "attention", query, layer=1, head=head)
            np.testing.assert_allclose(heat.values, expected.values, rtol=1e-6)
            assert heat.box == expected.box


def test_the_arrays_are_the_recordings(vit: vitviz.Vit) -> None:
    rec = vitviz.record(vit, make_photo())
    buffer = BytesIO()
    write_attention(rec, buffer)
    buffer.seek(0)
    with np.load(buffer) as arrays:
        for layer in range(rec.num_layers):
            np.testing.assert_array_equal(arrays[f"attention_{layer}"], rec.attention(layer))
        assert tuple(arrays["grid"]) == rec.grid
        assert int(arrays["num_prefix_tokens"]) == rec.num_prefix_tokens
        np.testing.assert_allclose(
            arrays["probabilities"], [p.probability for p in rec.predictions]
        )
        for name in arrays:
            word = "attention_<layer>" if name.startswith("attention") else name
            assert word in str(arrays["readme"]) or name == "readme"


@pytest.mark.parametrize("title", ["第 3 层", "各头平均", "layer 3"])
def test_titles_have_their_characters(title: str) -> None:
    heat = flat(1.0)
    figure = grid_figure(make_photo(), [[heat]], [title], [title])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a character that no font has
        figure.savefig(BytesIO(), format="png")
