"""The picture: each value in its colour at its place, and the rest of the photo as it was."""

from __future__ import annotations

from io import BytesIO

import matplotlib
import numpy as np
import pytest
from families import make_photo, random_module
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

import vitviz
from vitviz.heatmap import Box
from vitviz.models.transform import input_box
from vitviz.pictures.input import draw_grid, show_input
from vitviz.pictures.overlay import COLORMAPS, colorize, mark_patch, overlay

PHOTO = make_photo(size=(120, 80))
SHUFFLED = [[3.0, 0.0, 5.0], [1.0, 4.0, 2.0]]  # 2 × 3, every value once


def heatmap(values: list[list[float]] | np.ndarray, box: Box) -> vitviz.Heatmap:
    return vitviz.Heatmap(np.array(values, np.float32), box, "test")


def colour_of(position: float, colormap: str = "inferno") -> np.ndarray:
    """The colour map's colour, 0 the lowest and 1 the highest, as matplotlib gives it."""
    return np.array(matplotlib.colormaps[colormap](float(position), bytes=True)[:3])


def inside(box: Box, size: tuple[int, int]) -> np.ndarray:
    """Which pixels' centres lie in the box: (height, width)."""
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    across = (box[0] <= x) & (x < box[2])
    down = (box[1] <= y) & (y < box[3])
    return down[:, None] & across[None]


class TestPlaces:
    @pytest.mark.parametrize("colormap", COLORMAPS)
    def test_whole_pixels(self, colormap: str) -> None:
        # Patches of 10 × 20 pixels at 15 + 10·col, 5 + 20·row.
        photo = make_photo(size=(60, 50))
        picture = np.asarray(
            overlay(photo, heatmap(SHUFFLED, (15, 5, 45, 45)), colormap, 1.0, smooth=False)
        )
        expected = np.asarray(photo).copy()
        for row in range(2):
            for col in range(3):
                top, left = 5 + 20 * row, 15 + 10 * col
                colour = colour_of(SHUFFLED[row][col] / 5, colormap)
                expected[top : top + 20, left : left + 10] = colour
        np.testing.assert_array_equal(picture, expected)

    @settings(max_examples=60)
    @given(
        left=st.floats(-20, 30),
        top=st.floats(-20, 30),
        width=st.floats(40, 90),
        height=st.floats(40, 90),
        rows=st.integers(1, 6),
        cols=st.integers(1, 6),
    )
    def test_any_box_also_beyond_the_photo(
        self, left: float, top: float, width: float, height: float, rows: int, cols: int
    ) -> None:
        photo = Image.new("RGB", (80, 70), (0, 255, 0))  # no colour of the map
        values = np.random.default_rng(0).permutation(rows * cols).reshape(rows, cols)
        box = (left, top, left + width, top + height)
        picture = np.asarray(overlay(photo, heatmap(values, box), alpha=1.0, smooth=False))
        assert picture.shape == (70, 80, 3)
        across = (np.arange(80) + 0.5 - left) / width * cols  # in patches
        down = (np.arange(70) + 0.5 - top) / height * rows
        col, row = np.floor(across).astype(int), np.floor(down).astype(int)
        covered = ((row >= 0) & (row < rows))[:, None] & ((col >= 0) & (col < cols))[None]
        patch = values[row.clip(0, rows - 1)][:, col.clip(0, cols - 1)]
        palette = np.array([colour_of(v / max(rows * cols - 1, 1)) for v in range(rows * cols)])
        expected = np.where(covered[..., None], palette[patch], (0, 255, 0))
        # Half a pixel from a border, either side may be drawn.
        sharp_x = np.abs(across - across.round()) * width / cols > 0.51
        sharp_y = np.abs(down - down.round()) * height / rows > 0.51
        sharp = sharp_y[:, None] & sharp_x[None]
        np.testing.assert_array_equal(picture[sharp], expected[sharp])

    @pytest.mark.parametrize("smooth", [True, False])
    @pytest.mark.parametrize("box", [(15.3, 5.8, 44.6, 44.1), (-9.5, 10.2, 72.5, 40.0)])
    def test_outside_the_box_nothing_changes(self, box: Box, smooth: bool) -> None:
        photo = make_photo(size=(60, 50))
        picture = np.asarray(overlay(photo, heatmap(SHUFFLED, box), alpha=1.0, smooth=smooth))
        outside = ~inside(box, photo.size)
        assert outside.any()
        np.testing.assert_array_equal(picture[outside], np.asarray(photo)[outside])

    @pytest.mark.parametrize("size", [(500, 375), (375, 500), (333, 333), (97, 61), (40, 300)])
    @pytest.mark.parametrize(
        "transform",
        [
            create_transform((3, 70, 70), crop_pct=0.875),
            create_transform((3, 70, 70), crop_pct=1.0),
            create_transform((3, 70, 70), crop_pct=1.0, crop_mode="squash"),
        ],
        ids=["cropped", "whole width", "squashed"],
    )
    @pytest.mark.parametrize("patch", [(0, 0), (1, 3), (4, 2), (4, 4)])
    def test_a_painted_patch_comes_back_as_that_patch(
        self, size: tuple[int, int], transform: transforms.Compose, patch: tuple[int, int]
    ) -> None:
        """White where the overlay puts one patch is white in that patch of the model's input."""
        values = np.zeros((5, 5), np.float32)
        values[patch] = 1.0
        heat = heatmap(values, input_box(transform, size))
        black = Image.new("RGB", size)
        painted = overlay(black, heat, "gray", 1.0, smooth=False)
        pixels: Tensor = transform(painted) - transform(black)  # normalised: 0 is black
        seen = pixels.mean(0).unflatten(1, (5, 14)).unflatten(0, (5, 14)).mean((1, 3)).numpy()
        share = seen / seen.max()
        assert np.unravel_index(share.argmax(), (5, 5)) == patch
        share[patch] = 0.0
        assert share.max() < 0.25  # a border that falls between two of the photo's pixels

    def test_a_box_beyond_the_photo_and_fractions_of_pixels(self) -> None:
        padded = overlay(PHOTO, heatmap([[0, 1]], (-120, 0, 120, 80)), alpha=1, smooth=False)
        np.testing.assert_array_equal(padded.getpixel((60, 40)), colour_of(1.0))
        np.testing.assert_array_equal(padded.getpixel((1, 40)), colour_of(1.0))
        odd = overlay(PHOTO, heatmap([[1, 1]], (10.6, 0, 60.4, 80)), alpha=1, scale=(0, 1))
        assert odd.getpixel((10, 5)) == PHOTO.getpixel((10, 5))
        assert odd.getpixel((60, 5)) == PHOTO.getpixel((60, 5))
        np.testing.assert_array_equal(odd.getpixel((11, 5)), colour_of(1.0))
        np.testing.assert_array_equal(odd.getpixel((59, 5)), colour_of(1.0))


class TestBlending:
    @pytest.mark.parametrize("smooth", [True, False])
    def test_alpha_zero_is_the_photo(self, smooth: bool) -> None:
        photo = make_photo(size=(61, 43))
        picture = overlay(photo, heatmap(SHUFFLED, (3, 2, 50, 40)), alpha=0.0, smooth=smooth)
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(photo))

    def test_between_them_the_colours_mix(self) -> None:
        photo = Image.new("RGB", (20, 20), (200, 100, 0))
        picture = overlay(photo, heatmap([[0.0, 1.0]], (0, 0, 20, 20)), alpha=0.25, smooth=False)
        for x, position in ((5, 0.0), (15, 1.0)):
            expected = 0.75 * np.array((200, 100, 0)) + 0.25 * colour_of(position)
            np.testing.assert_allclose(picture.getpixel((x, 10)), expected, atol=1.0)

    def test_smooth_goes_through_the_values_at_patch_centres(self) -> None:
        # 100 pixels a patch; halfway between the centres of 0 and 1 lies 0.5.
        heat = heatmap([[0.0, 1.0]], (0, 0, 200, 100))
        picture = overlay(Image.new("RGB", (200, 100)), heat, "gray", 1.0)
        levels = np.asarray(picture)[50, :, 0].astype(float)
        assert (np.diff(levels) >= 0).all()
        np.testing.assert_allclose(levels[[10, 50, 100, 150, 190]], [0, 1, 128, 254, 255], atol=2)

    def test_the_photo_itself_is_not_changed(self) -> None:
        photo = make_photo(size=(60, 50))
        before = photo.tobytes()
        overlay(photo, heatmap(SHUFFLED, (0, 0, 60, 50)), alpha=1.0)
        assert photo.tobytes() == before

    @pytest.mark.parametrize("size", [(14, 14), (15, 400), (1000, 30), (64, 64)])
    @pytest.mark.parametrize("smooth", [True, False])
    def test_the_size_is_the_photos(self, size: tuple[int, int], smooth: bool) -> None:
        photo = Image.new("L", size)
        box = (0.4, 0.4, size[0] - 0.4, size[1] - 0.4)
        picture = overlay(photo, heatmap(np.eye(16), box), smooth=smooth)
        assert picture.size == size
        assert picture.mode == "RGB"

    def test_half_alpha_is_half_of_each(self) -> None:
        box = (0, 0, 120, 80)
        full = np.asarray(overlay(PHOTO, heatmap([[1, 2]], box), alpha=1)).astype(float)
        half = np.asarray(overlay(PHOTO, heatmap([[1, 2]], box), alpha=0.5)).astype(float)
        np.testing.assert_allclose(half, (full + np.asarray(PHOTO)) / 2, atol=1)


class TestScale:
    def test_a_shared_scale_gives_equal_values_equal_colours(self) -> None:
        photo = Image.new("RGB", (20, 10))
        pictures = [
            overlay(photo, heatmap([values], (0, 0, 20, 10)), alpha=1.0, smooth=False, scale=(0, 4))
            for values in ([1.0, 2.0], [2.0, 4.0])
        ]
        assert (
            pictures[0].getpixel((15, 5)) == pictures[1].getpixel((5, 5)) == tuple(colour_of(0.5))
        )
        assert pictures[0].getpixel((5, 5)) == tuple(colour_of(0.25))
        assert pictures[1].getpixel((15, 5)) == tuple(colour_of(1.0))

    def test_values_beyond_the_scale_take_its_end_colours(self) -> None:
        heat = heatmap([[0.0, 9.0]], (0, 0, 20, 10))
        picture = overlay(Image.new("RGB", (20, 10)), heat, alpha=1.0, smooth=False, scale=(2, 3))
        assert picture.getpixel((5, 5)) == tuple(colour_of(0.0))
        assert picture.getpixel((15, 5)) == tuple(colour_of(1.0))

    @pytest.mark.parametrize("value", [0.0, 1e-30, 0.5, 2.0])
    def test_a_constant_map_has_one_colour(self, value: float) -> None:
        heat = heatmap([[value] * 3] * 2, (0, 0, 30, 20))
        picture = overlay(Image.new("RGB", (30, 20)), heat, alpha=1.0)
        assert picture.getcolors() == [(600, tuple(colour_of(0.0)))]

    def test_tiny_differences_are_still_stretched_to_the_whole_map(self) -> None:
        heat = heatmap([[1e-8, 3e-8]], (0, 0, 20, 10))
        picture = overlay(Image.new("RGB", (20, 10)), heat, alpha=1.0, smooth=False)
        assert picture.getpixel((5, 5)) == tuple(colour_of(0.0))
        assert picture.getpixel((15, 5)) == tuple(colour_of(1.0))


class TestBadInput:
    @pytest.mark.parametrize("alpha", [-0.01, 1.01, float("nan"), float("inf")])
    def test_alpha(self, alpha: float) -> None:
        with pytest.raises(vitviz.VitvizError, match="alpha must be from 0 to 1"):
            overlay(make_photo(), heatmap(SHUFFLED, (0, 0, 9, 9)), alpha=alpha)

    def test_colormap(self) -> None:
        with pytest.raises(vitviz.VitvizError, match=r"“rainbows”; try inferno, viridis"):
            overlay(make_photo(), heatmap(SHUFFLED, (0, 0, 9, 9)), "rainbows")

    @pytest.mark.parametrize("bad", [-1e-6, float("nan"), float("inf")])
    def test_values_no_method_may_return(self, bad: float) -> None:
        with pytest.raises(vitviz.VitvizError, match="finite and not negative"):
            heatmap([[0.0, bad]], (0, 0, 1, 1))

    def test_values_that_are_no_grid(self) -> None:
        with pytest.raises(vitviz.VitvizError, match="those of test are not"):
            vitviz.Heatmap(np.zeros(4, np.float32), (0, 0, 1, 1), "test")


def test_a_heatmap_follows_a_larger_copy_of_the_photo() -> None:
    heat = heatmap(SHUFFLED, (15, 5, 45, 45))
    larger = heat.scaled(2.5)
    assert larger.box == (37.5, 12.5, 112.5, 112.5)
    assert larger.values is heat.values
    assert heat.range == larger.range == (0.0, 5.0)


def test_a_scaled_heatmap_fits_a_scaled_photo() -> None:
    large = heatmap([[0, 1], [2, 3]], (20, 10, 100, 70))
    small = PHOTO.resize((60, 40))
    picture = overlay(small, large.scaled(0.5), alpha=1, smooth=False)
    np.testing.assert_array_equal(picture.getpixel((11, 6)), colour_of(0))
    np.testing.assert_array_equal(picture.getpixel((49, 34)), colour_of(1.0))


def test_colorize_keeps_the_shape() -> None:
    values = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    colours = colorize(values, "magma", (0.0, 1.0))
    assert colours.shape == (2, 3, 4, 3)
    assert colours.dtype == np.uint8


@pytest.mark.parametrize("patch", [(0, 0), (1, 2)])
def test_the_marked_patch_is_outlined_and_the_rest_kept(patch: tuple[int, int]) -> None:
    picture = Image.new("RGB", (120, 100), (90, 90, 90))
    marked = mark_patch(picture, heatmap(SHUFFLED, (30, 10, 90, 90)), patch)
    left, top = 30 + 20 * patch[1], 10 + 40 * patch[0]  # patches of 20 × 40
    changed = (np.asarray(marked) != 90).any(-1)
    rows, cols = np.nonzero(changed)
    assert (cols.min(), rows.min()) == (left, top)
    assert (cols.max(), rows.max()) == pytest.approx((left + 20, top + 40), abs=1)
    assert not changed[top + 10 : top + 30, left + 8 : left + 13].any()  # hollow
    assert picture.getcolors() == [(12000, (90, 90, 90))]


def test_the_input_is_shown_as_the_model_got_it() -> None:
    vit = vitviz.from_module(random_module("deit distilled"))
    photo = make_photo(size=(150, 110))
    shown = np.asarray(show_input(vitviz.record(vit, photo), scale=1)).astype(int)
    steps = [
        step for step in vit.transform.transforms if not isinstance(step, transforms.Normalize)
    ]
    given = np.asarray(to_pil_image(transforms.Compose(steps)(photo))).astype(int)
    lines = np.zeros((64, 64), bool)
    lines[16::16] = lines[:, 16::16] = True
    assert np.abs(shown - given)[~lines].max() <= 1
    assert (shown[lines] == 255).all()


def test_a_grid_ends_with_the_last_whole_patch() -> None:
    ruled = np.asarray(draw_grid(Image.new("RGB", (10, 7)), (3, 4)))[..., 0]
    expected = np.zeros((7, 10), bool)
    expected[[3, 6], :9] = expected[:7, [4, 8]] = True  # 2 × 2 patches of 3 × 4, a rest beside them
    assert (ruled == 255).tolist() == expected.tolist()


def test_the_numbers_can_be_read_back() -> None:
    buffer = BytesIO()
    given = heatmap([[0.1, 0.2]], (1, 2, 3, 4))
    given.save(buffer)
    buffer.seek(0)
    with np.load(buffer) as archive:
        np.testing.assert_array_equal(archive["values"], given.values)
        np.testing.assert_array_equal(archive["box"], given.box)
        for name in archive.files:
            assert name == "readme" or f"{name}:" in str(archive["readme"])


def test_a_map_on_a_finer_grid_has_the_same_picture() -> None:
    coarse = vitviz.Heatmap(np.array([[1, 2], [3, 4]], np.float32), (0, 0, 8, 8), "attention")
    fine = coarse.on_grid((4, 6))
    assert fine.values.tolist()[::2] == [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]]
    assert fine.box == coarse.box
    with pytest.raises(vitviz.VitvizError, match="does not fit"):
        coarse.on_grid((3, 4))


def test_a_warning_names_the_line_that_draws() -> None:
    zero = vitviz.Heatmap(np.zeros((2, 2), np.float32), (0, 0, 30, 20), "mine")
    with pytest.warns(vitviz.VitvizWarning, match="0 everywhere") as caught:
        overlay(Image.new("RGB", (30, 20)), zero)
    assert caught[0].filename == __file__
