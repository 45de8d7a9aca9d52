"""Random views of photos, for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision.transforms import v2

__all__ = ["AUGMENTATIONS", "augmentation", "random_crops", "views"]

AUGMENTATIONS = ("crop", "flip", "colour")


class Photos(Protocol):
    """Photos by their number: a list, or files opened when asked for."""

    def __getitem__(self, index: int, /) -> Image.Image: ...


def augmentation(size: Sequence[int], *, crop: bool, flip: bool, colour: bool) -> v2.Compose:
    """A random view of a photo, for training: part of it, mirrored, in other colours.

    Args:
        size: (height, width) of the view in pixels.
        crop: take 30 to 100 % of the photo's area; otherwise its middle.
        flip: mirror every second view.
        colour: change brightness, contrast, saturation and hue.
    """
    steps: list[nn.Module] = (
        [v2.RandomResizedCrop(size, scale=(0.3, 1.0))]
        if crop
        else [v2.Resize(max(size)), v2.CenterCrop(size)]
    )
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    if colour:
        steps.append(v2.ColorJitter(0.4, 0.4, 0.4, 0.1))
    return v2.Compose(steps)


def random_crops(photo: Image.Image, count: int, seed: int) -> list[Image.Image]:
    """Squares of 70 to 100 % of a photo's shorter side, every second one mirrored.

    The same seed gives the same crops, whatever other threads draw.
    """
    generator = np.random.default_rng(seed)
    crops = []
    for number in range(count):
        side = round(min(photo.size) * generator.uniform(0.7, 1.0))
        left, top = (int(generator.integers(0, length - side + 1)) for length in photo.size)
        part = photo.crop((left, top, left + side, top + side))
        crops.append(ImageOps.mirror(part) if number % 2 else part)
    return crops


def views(
    photos: Photos, view: Callable[[Image.Image], Tensor], seed: int
) -> Callable[[Tensor, int], Tensor]:
    """Batches of random views, for a `Training`: (numbers of photos, step) → their inputs.

    The same seed, step and photo give the same view, whatever was drawn before.

    Args:
        photos: by their number.
        view: draws from PyTorch's common random numbers, which are left as they were.
        seed: of all views.
    """

    def draw(numbers: Tensor, step: int) -> Tensor:
        found = []
        with torch.random.fork_rng(devices=[]):
            for number in numbers.tolist():
                own = np.random.SeedSequence((seed, step, number)).generate_state(1)
                torch.manual_seed(int(own[0]))
                found.append(view(photos[number]))
        return torch.stack(found)

    return draw
