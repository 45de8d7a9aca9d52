"""Colours lie where the patches lie, and nothing else changes."""

from __future__ import annotations

from io import BytesIO

import matplotlib
import numpy as np
import pytest
from families import make_photo, random_module
from PIL import Image

import vitviz
from vitviz.export import write_npz
from vitviz.heatmap import Heatmap
from vitviz.overlay import mark_patch, show_input


def heat(values: list[list[float]], box: tuple[float, float, float, float]) -> Heatmap:
    return Heatmap(np.array(values, np.float32), box, "test")


def rgb(colormap: str, position: float) -> np.ndarray:
    return np.array(matplotlib.colormaps[colormap](float(position), bytes=True)[:3])


PHOTO = make_photo(size=(120, 80))


def test_alpha_zero_is_the_photo() -> None:
    picture = vitviz.overlay(PHOTO, heat([[0, 1]], (10, 10, 90, 50)), alpha=0)
    assert picture.tobytes() == PHOTO.tobytes()


def test_every_block_lies_on_its_patch_and_the_rest_is_untouched() -> None:
    values = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    picture = np.asarray(
        vitviz.overlay(PHOTO, heat(values, (10, 20, 70, 60)), "viridis", 1.0, smooth=False)
    )
    assert picture.shape == (80, 120, 3)
    expected = np.asarray(PHOTO).copy()
    for row in range(2):
        for col in range(3):
            colour = rgb("viridis", values[row][col] / 5)
            expected[20 + 20 * row : 40 + 20 * row, 10 + 20 * col : 30 + 20 * col] = colour
    np.testing.assert_array_equal(picture, expected)


def test_smoothing_meets_the_values_at_patch_centres() -> None:
    picture = vitviz.overlay(PHOTO, heat([[0.0, 1.0]], (0, 0, 120, 80)), "viridis", 1.0)
    for x, position in ((30, 0), (90, 1), (60, 0.5)):
        np.testing.assert_allclose(picture.getpixel((x, 40)), rgb("viridis", position), atol=6)


def test_half_alpha_is_half_of_each() -> None:
    box = (0, 0, 120, 80)
    full = np.asarray(vitviz.overlay(PHOTO, heat([[1, 2]], box), alpha=1)).astype(float)
    half = np.asarray(vitviz.overlay(PHOTO, heat([[1, 2]], box), alpha=0.5)).astype(float)
    np.testing.assert_allclose(half, (full + np.asarray(PHOTO)) / 2, atol=1)


def test_a_shared_scale_compares_maps() -> None:
    weak, strong = heat([[0.0, 1.0]], (0, 0, 120, 80)), heat([[0.0, 4.0]], (0, 0, 120, 80))
    shared = [
        vitviz.overlay(PHOTO, h, alpha=1, smooth=False, scale=(0, 4)).getpixel((90, 40))
        for h in (weak, strong)
    ]
    np.testing.assert_array_equal(shared[0], rgb("inferno", 0.25))
    np.testing.assert_array_equal(shared[1], rgb("inferno", 1.0))
    own = vitviz.overlay(PHOTO, weak, alpha=1, smooth=False).getpixel((90, 40))
    np.testing.assert_array_equal(own, rgb("inferno", 1.0))


def test_a_constant_map_and_values_beyond_the_scale() -> None:
    flat = vitviz.overlay(PHOTO, heat([[2, 2]], (0, 0, 120, 80)), alpha=1, smooth=False)
    np.testing.assert_array_equal(flat.getpixel((5, 5)), rgb("inferno", 0))
    over = heat([[0.0, 9.0]], (0, 0, 120, 80))
    picture = vitviz.overlay(PHOTO, over, alpha=1, smooth=False, scale=(1, 2))
    np.testing.assert_array_equal(picture.getpixel((5, 5)), rgb("inferno", 0))
    np.testing.assert_array_equal(picture.getpixel((100, 5)), rgb("inferno", 1.0))


def test_a_box_beyond_the_photo_and_fractions_of_pixels() -> None:
    padded = vitviz.overlay(PHOTO, heat([[0, 1]], (-120, 0, 120, 80)), alpha=1, smooth=False)
    np.testing.assert_array_equal(padded.getpixel((60, 40)), rgb("inferno", 1.0))
    np.testing.assert_array_equal(padded.getpixel((1, 40)), rgb("inferno", 1.0))
    odd = vitviz.overlay(PHOTO, heat([[1, 1]], (10.6, 0, 60.4, 80)), alpha=1, scale=(0, 1))
    assert odd.getpixel((10, 5)) == PHOTO.getpixel((10, 5))
    assert odd.getpixel((60, 5)) == PHOTO.getpixel((60, 5))
    np.testing.assert_array_equal(odd.getpixel((11, 5)), rgb("inferno", 1.0))
    np.testing.assert_array_equal(odd.getpixel((59, 5)), rgb("inferno", 1.0))


def test_a_scaled_heatmap_fits_a_scaled_photo() -> None:
    large = heat([[0, 1], [2, 3]], (20, 10, 100, 70))
    small = PHOTO.resize((60, 40))
    picture = vitviz.overlay(small, large.scaled(0.5), alpha=1, smooth=False)
    np.testing.assert_array_equal(picture.getpixel((11, 6)), rgb("inferno", 0))
    np.testing.assert_array_equal(picture.getpixel((49, 34)), rgb("inferno", 1.0))


@pytest.mark.parametrize(
    ("arguments", "says"), [({"alpha": 1.1}, "alpha"), ({"colormap": "rainbows"}, "rainbows")]
)
def test_bad_arguments(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(vitviz.VitvizError, match=says):
        vitviz.overlay(PHOTO, heat([[0, 1]], (0, 0, 120, 80)), **arguments)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_heatmap_is_finite_and_not_negative(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        heat([[0.0, value]], (0, 0, 1, 1))


def test_the_query_is_outlined_and_nothing_else_changes() -> None:
    where = heat([[0] * 6] * 4, (0, 0, 120, 80))
    marked = np.asarray(mark_patch(PHOTO, where, (1, 2))).astype(int)
    changed = np.abs(marked - np.asarray(PHOTO)).sum(-1) > 0
    rows, cols = np.nonzero(changed)
    assert 20 <= rows.min() <= rows.max() <= 40
    assert 40 <= cols.min() <= cols.max() <= 60
    assert not changed[28:32, 48:52].any()


def test_the_input_shown_is_the_input_given(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_module("deit distilled")), photo)
    shown = show_input(rec, scale=1)
    assert shown.size == (64, 64)
    transform = rec.vit.transform
    plain = [step for step in transform.transforms if type(step).__name__ != "Normalize"]
    expected = type(transform)(plain)(photo).permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(np.asarray(shown)[8, 8], expected[8, 8], atol=1)
    assert shown.getpixel((32, 8)) == (255, 255, 255)  # a border between patches


def test_the_numbers_can_be_read_back() -> None:
    buffer = BytesIO()
    given = heat([[0.1, 0.2]], (1, 2, 3, 4))
    write_npz(given, buffer)
    buffer.seek(0)
    with np.load(buffer) as archive:
        np.testing.assert_array_equal(archive["values"], given.values)
        np.testing.assert_array_equal(archive["box"], given.box)
        for name in archive.files:
            assert name == "readme" or f"{name}:" in str(archive["readme"])
