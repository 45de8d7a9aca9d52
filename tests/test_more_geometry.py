"""To append to tests/test_geometry.py: the box to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform
from timm.data.transforms import CenterCropOrPad, MaybeToTensor
from torchvision import transforms

import vitviz
from vitviz.geometry import input_box

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


@pytest.mark.parametrize(
    "step",
    [
        transforms.Resize(20, max_size=30),
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
    with pytest.raises(vitviz.ModelError):
        input_box(compose, (200, 50))


def test_a_plain_function_is_refused() -> None:
    with pytest.raises(vitviz.ModelError, match="function"):
        input_box(lambda image: image, (200, 50))
