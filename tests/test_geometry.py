"""The box is where the model's input really comes from."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torchvision import transforms

import vitviz
from vitviz.geometry import input_box, mean_and_std


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


def test_exact_box_of_a_landscape_photo() -> None:
    steps = [transforms.Resize(100), transforms.CenterCrop(80), transforms.ToTensor()]
    # 400 × 200 → 200 × 100; the crop starts at column 60, row 10; a pixel is 2 photo pixels.
    assert input_box(transforms.Compose(steps), (400, 200)) == (120, 20, 280, 180)


def test_padding_reaches_beyond_the_photo() -> None:
    steps = [transforms.CenterCrop(100), transforms.ToTensor()]
    assert input_box(transforms.Compose(steps), (60, 100)) == (-20, 0, 80, 100)


def test_an_unknown_step_is_refused() -> None:
    steps = [transforms.Resize(100), transforms.RandomCrop(80), transforms.ToTensor()]
    with pytest.raises(vitviz.ModelError, match="RandomCrop"):
        input_box(transforms.Compose(steps), (400, 200))


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
