"""The box is where the model's input really comes from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import timm
import torch
from families import make_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from timm.data.transforms import CenterCropOrPad, MaybeToTensor
from timm.layers import resample_abs_pos_embed
from torchvision import transforms

import vitviz
from vitviz.models.transform import input_box, mean_and_std


def ramp(width: int, height: int) -> Image.Image:
    """A photo whose red is the column and green the row, from 0 to 255."""
    x = np.linspace(0, 255, width)[None].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, x * 0], -1).round().astype(np.uint8))


def check(transform: transforms.Compose, width: int, height: int, tolerance: float) -> None:
    """Every input pixel's colour names the place the box says, in pixels of the photo."""
    pixels = transform(ramp(width, height))
    mean, std = (torch.as_tensor(v)[:, None, None] for v in mean_and_std(transform))
    red, green, _ = (pixels * std + mean).numpy() * 255
    left, top, right, bottom = input_box(transform, (width, height))
    rows, cols = red.shape
    for row, col in (
        (rows // 2, cols // 2),
        (rows // 3, cols // 4),
        (2 * rows // 3, 3 * cols // 4),
    ):
        x = left + (col + 0.5) / cols * (right - left)
        y = top + (row + 0.5) / rows * (bottom - top)
        if not (0 <= x < width and 0 <= y < height):
            continue  # padding has no place on the photo; the centre always has
        assert red[row, col] / 255 * (width - 1) + 0.5 == pytest.approx(x, abs=tolerance)
        assert green[row, col] / 255 * (height - 1) + 0.5 == pytest.approx(y, abs=tolerance)


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(40, 600),
    height=st.integers(40, 600),
    crop_pct=st.sampled_from([0.8, 0.9, 1.0]),
    size=st.sampled_from([(224, 224), (196, 224), (224, 140)]),
    mode=st.sampled_from(["center", "squash", "border"]),
)
def test_box_of_timms_own_transforms(
    width: int, height: int, crop_pct: float, size: tuple[int, int], mode: str
) -> None:
    if not 1 / 3 < width / height < 3:
        width = height
    transform = create_transform((3, *size), crop_pct=crop_pct, crop_mode=mode)
    check(transform, width, height, tolerance=max(width, height) / 80 + 1)


SIZES = [(400, 300), (300, 401), (333, 333), (97, 61), (50, 999), (1203, 160)]


def whereabouts(
    transform: transforms.Compose, size: tuple[int, int], axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where each column (axis 0) or row (axis 1) of the input comes from, in the photo's pixels:
    as the box says, and as a float photo whose pixels hold their own coordinate shows."""
    ramp = np.arange(size[axis], dtype=np.float32) + 0.5  # pixel centres
    photo = np.broadcast_to(ramp[None] if axis == 0 else ramp[:, None], size[::-1])
    colours = (MaybeToTensor, transforms.Normalize)
    steps = [step for step in transform.transforms if not isinstance(step, colours)]
    steps = [  # one channel, one colour to fill with
        CenterCropOrPad(step.size, fill=0) if isinstance(step, CenterCropOrPad) else step
        for step in steps
    ]
    seen = np.asarray(transforms.Compose(steps)(Image.fromarray(photo.copy())))
    box = input_box(transform, size)
    low, high = box[axis], box[axis + 2]
    count = seen.shape[1 - axis]
    said = low + (np.arange(count) + 0.5) / count * (high - low)
    return said, np.take(seen, seen.shape[axis] // 2, axis=axis)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop_pct", [0.8, 0.95, 1.0])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("target", [(224, 224), (70, 140)])
@pytest.mark.parametrize("axis", [0, 1])
def test_each_input_pixel_comes_from_where_the_box_says(
    size: tuple[int, int], crop_pct: float, mode: str, target: tuple[int, int], axis: int
) -> None:
    transform = create_transform(
        (3, *target), crop_pct=crop_pct, crop_mode=mode, interpolation="bilinear"
    )
    said, seen = whereabouts(transform, size, axis)
    step = float(said[1] - said[0])  # the photo's pixels in one of the input
    margin = max(1.0, step)  # at the photo's border an interpolation is one-sided
    comparable = (said > margin) & (said < size[axis] - margin) & (seen > 0)
    assert comparable.any()
    np.testing.assert_allclose(seen[comparable], said[comparable], atol=0.5 * max(1.0, step) + 1e-3)
    # on average far closer: a shift of a fraction of a pixel would show
    bias = float((seen[comparable] - said[comparable]).mean())
    assert abs(bias) < 0.3 * max(1.0, step)


def test_exact_box_of_a_landscape_photo() -> None:
    steps = [transforms.Resize(100), transforms.CenterCrop(80), transforms.ToTensor()]
    # 400 × 200 → 200 × 100; the crop starts at column 60, row 10; a pixel is 2 photo pixels.
    assert input_box(transforms.Compose(steps), (400, 200)) == (120, 20, 280, 180)


def test_padding_reaches_beyond_the_photo() -> None:
    steps = [transforms.CenterCrop(100), transforms.ToTensor()]
    assert input_box(transforms.Compose(steps), (60, 100)) == (-20, 0, 80, 100)


def test_every_model_of_the_zoo_can_be_placed() -> None:
    configs = [timm.get_pretrained_cfg(name).to_dict() for name in timm.list_models("*vit*")[:80]]
    for config in configs:
        transform = create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))
        left, _, right, _ = input_box(transform, (500, 400))
        assert left < right


def test_mean_and_std_are_the_transforms_own() -> None:
    steps = [transforms.ToTensor(), transforms.Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))]
    assert mean_and_std(transforms.Compose(steps)) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert mean_and_std(transforms.ToTensor())[1] == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "step",
    [
        transforms.Resize(20, max_size=30),
        transforms.RandomCrop(20),
        transforms.RandomHorizontalFlip(),
        transforms.Pad(3),
        transforms.RandomResizedCrop(20),
        transforms.FiveCrop(20),
        transforms.Lambda(lambda image: image),
    ],
    ids=lambda step: type(step).__name__,
)
def test_a_step_that_is_not_followed_is_refused(step: object) -> None:
    compose = transforms.Compose([step, transforms.ToTensor()])
    with pytest.raises(vitviz.ModelError, match=f"step {type(step).__name__} is not known"):
        input_box(compose, (200, 50))


def test_a_plain_function_is_refused() -> None:
    with pytest.raises(vitviz.ModelError, match="function"):
        input_box(lambda image: image, (200, 50))


class TestWholePhoto:
    @pytest.mark.parametrize("size", [(300, 200), (200, 300), (640, 480), (1200, 90), (64, 64)])
    def test_all_of_it_in_whole_patches(self, size: tuple[int, int]) -> None:
        """About as many pixels as the model's own input, stretched by half a patch at most."""
        module = timm.create_model("vit_tiny_patch16_224", depth=1, dynamic_img_size=True)
        photo = make_photo(size=size)
        rec = vitviz.record(vitviz.from_module(module), photo, whole=True)
        height, width = rec.pixels.shape[1:]
        assert (height % 16, width % 16) == (0, 0)
        assert rec.grid == (height // 16, width // 16)
        assert rec.box == (0, 0, *size)
        scale = math.sqrt(224 * 224 / math.prod(size))
        assert abs(width - size[0] * scale) <= 8
        assert abs(height - size[1] * scale) <= 8

    def test_the_model_sees_what_timm_would_compute(self) -> None:
        torch.manual_seed(0)
        module = timm.create_model("vit_tiny_patch16_224", depth=2, dynamic_img_size=True)
        vit, photo = vitviz.from_module(module), make_photo(size=(300, 200))
        rec = vitviz.record(vit, photo, whole=True)
        assert rec.grid == (11, 17)
        steps = [
            transforms.Resize((176, 272), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
        pixels = transforms.Compose(steps)(photo)
        torch.testing.assert_close(rec.pixels, pixels)
        fixed = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=(176, 272)).eval()
        state = module.state_dict()
        state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], (11, 17), (14, 14), 1)
        fixed.load_state_dict(state)
        with torch.no_grad():
            torch.testing.assert_close(rec.logits, fixed(pixels[None])[0], atol=1e-5, rtol=1e-4)

    def test_a_model_of_one_size_says_so(self) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=1)
        with pytest.raises(vitviz.ModelError, match="one size only"):
            vitviz.record(vitviz.from_module(module), make_photo(), whole=True)
