"""What a transform does to a photo: where its part lies, and how its colours are scaled."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.transforms import CenterCropOrPad, MaybeToTensor, ResizeKeepRatio
from torch import Tensor, nn
from torchvision import transforms as v1
from torchvision.models import ViT_B_16_Weights
from torchvision.transforms import v2

from vitviz.errors import FAILURES, ModelError, in_a_line
from vitviz.heatmap import Box
from vitviz.models.asked import asked_box, asked_mean_and_std, asked_size

__all__ = [
    "PhotoTransform",
    "input_box",
    "mean_and_std",
    "mode_of",
    "readable",
    "transformed",
    "whole_photo",
]

PRESET = type(ViT_B_16_Weights.DEFAULT.transforms())  # of torchvision, for all its classifiers
RESIZES = (v1.Resize, v2.Resize)
CROPS = (v1.CenterCrop, v2.CenterCrop, CenterCropOrPad)
NORMALIZES = (v1.Normalize, v2.Normalize)
KEEPS_GEOMETRY = (
    *NORMALIZES,
    *(v1.ToTensor, v1.PILToTensor, v1.ConvertImageDtype, v1.Grayscale, MaybeToTensor),
    *(v2.ToTensor, v2.ToImage, v2.ToPureTensor, v2.PILToTensor, v2.ToDtype, v2.ConvertImageDtype),
    *(v2.Grayscale, v2.RGB, v2.Identity),
)
MODES = {1: "L", 4: "RGBA"}  # what a photo is for a model of so many channels; else RGB


@dataclass(frozen=True, eq=False)
class PhotoTransform:
    """A transform that takes photos of another mode, or gives more than a tensor, as others are:
    photo → tensor (channels, height, width).

    Attributes:
        inner: the transform, or an image processor of transformers.
        mode: of the photos that it takes, as PIL says it.
    """

    inner: Callable[..., Any]
    mode: str

    def __call__(self, photo: Image.Image) -> Tensor:
        photo = photo if photo.mode == self.mode else photo.convert(self.mode)
        processor = getattr(self.inner, "image_processor", self.inner)
        if hasattr(processor, "preprocess"):  # of transformers
            return _pixels(processor(images=photo))
        return _pixels(processor(photo))


def readable(transform: Callable[..., Any], channels: int) -> Callable[[Image.Image], Tensor]:
    """The transform itself, if it makes a tensor of an RGB photo; otherwise one that does so.

    Args:
        transform: of torchvision, timm, transformers, open_clip, or one's own.
        channels: of the model's input.

    Raises:
        ModelError: if the transform cannot take a photo or gives no input of the model.
    """
    mode = MODES.get(channels, "RGB")
    wrapped = PhotoTransform(transform, mode)
    photo = Image.new("RGB", (256, 256), "grey")
    pixels = transformed(wrapped, photo)
    given = transformed(transform, photo) if mode == "RGB" else None
    if pixels.ndim != 3 or not pixels.is_floating_point():
        raise _no_pixels(f"{pixels.dtype} {tuple(pixels.shape)}".removeprefix("torch."))
    usable = isinstance(given, Tensor) and given.ndim == 3 and isinstance(transform, Hashable)
    return transform if usable else wrapped


def transformed(transform: Callable[[Image.Image], Tensor], photo: Image.Image) -> Tensor:
    """What a transform makes of a photo.

    Raises:
        ModelError: if it fails on it.
    """
    try:
        return transform(photo)
    except FAILURES as error:
        raise ModelError(
            "transform_takes_no_photo",
            "The transform cannot take a photo: {reason}.",
            reason=in_a_line(error),
        ) from error


def mode_of(transform: Any) -> str:
    """The mode of the photos that a transform is to be given: "RGBA" if it takes four channels."""
    wrapped = isinstance(transform, PhotoTransform) and transform.mode == "RGBA"
    return "RGBA" if wrapped else "RGB"


def _pixels(made: Any) -> Tensor:
    """What a transform made of one photo, as one tensor."""
    if isinstance(made, Mapping):
        made = made.get("pixel_values")
    if isinstance(made, (list, tuple)) and len(made) == 1:
        [made] = made
    if isinstance(made, np.ndarray):
        made = torch.from_numpy(made)
    if not isinstance(made, Tensor):
        raise _no_pixels(type(made).__name__)
    while made.ndim > 3 and len(made) == 1:  # a batch of one, a clip of one frame
        made = made[0]
    return made


def _no_pixels(made: str) -> ModelError:
    return ModelError(
        "transform_gives_no_pixels",
        "The transform makes {made} of a photo; it needs to give one float tensor (channels, "
        "height, width): add ToTensor and Normalize.",
        made=made,
    )


def input_box(transform: Any, size: tuple[int, int]) -> Box:
    """The part of a photo of `size` (width, height) that a transform shows to the model.

    Follows resizing and centre cropping with torchvision's and timm's own rounding. Padding makes
    the box larger than the photo.

    A transform with other steps is asked, see `asked_box`.

    Raises:
        ModelError: if it moves pixels in a way that no box describes, or draws random numbers.
    """
    steps = list(_steps(transform))
    if not all(_is_known(step) for step in steps):
        return asked_box(transform, size)
    width, height = size
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)  # in the photo's pixels
    for step in steps:
        if isinstance(step, RESIZES):
            width, height = _resized(step, width, height)
        elif isinstance(step, ResizeKeepRatio):
            width, height = _resized_keeping_ratio(step, width, height)
        elif isinstance(step, CROPS):
            rows, cols = step.size
            x_scale, y_scale = (right - left) / width, (bottom - top) / height
            x, y = _centre(width, cols), _centre(height, rows)
            left, right = left + x * x_scale, left + (x + cols) * x_scale
            top, bottom = top + y * y_scale, top + (y + rows) * y_scale
            width, height = cols, rows
    return left, top, right, bottom


def _is_known(step: object) -> bool:
    """Whether what a step does to the geometry is computed here."""
    if isinstance(step, RESIZES):
        return step.max_size is None and step.size is not None
    if isinstance(step, ResizeKeepRatio):
        return not (step.random_scale_prob or step.random_aspect_prob)
    return isinstance(step, (*CROPS, *KEEPS_GEOMETRY))


def whole_photo(transform: Any, size: tuple[int, int], patch: tuple[int, int]) -> v1.Compose:
    """A transform that shows all of a photo of `size` (width, height), in its own proportions.

    It gives about as many pixels as `transform` does, in whole patches: each side is rounded to a
    multiple of the patch, so that the photo is stretched by half a patch at most.

    Args:
        transform: the model's own; its interpolation and its colours are kept.
        size: of the photo.
        patch: (height, width) of a patch in pixels.
    """
    steps = list(_steps(transform))
    scale = math.sqrt(math.prod(asked_size(transform)) / math.prod(size))
    height, width = (
        max(1, round(side * scale / cut)) * cut
        for side, cut in zip((size[1], size[0]), patch, strict=True)
    )
    resize = next((s for s in steps if isinstance(s, (*RESIZES, ResizeKeepRatio))), None)
    interpolation = getattr(resize, "interpolation", v1.InterpolationMode.BICUBIC)
    if all(_is_known(step) for step in steps):
        keeps = [step for step in steps if isinstance(step, KEEPS_GEOMETRY)]
    else:
        keeps = [v1.ToTensor(), v1.Normalize(*mean_and_std(transform))]
    return v1.Compose([v1.Resize((height, width), interpolation), *keeps])


def mean_and_std(transform: Any) -> tuple[Sequence[float], Sequence[float]]:
    """What the transform subtracts from each colour and divides it by; 0 and 1 if it does not."""
    steps = list(_steps(transform))
    if not all(_is_known(step) for step in steps):
        return asked_mean_and_std(transform)
    for step in steps:
        if isinstance(step, NORMALIZES):
            return tuple(np.atleast_1d(step.mean).tolist()), tuple(np.atleast_1d(step.std).tolist())
    return (0.0,), (1.0,)


def _steps(transform: Any) -> Iterator[Any]:
    """The steps of a transform, those of its parts too."""
    if isinstance(transform, PhotoTransform):
        yield from _steps(transform.inner)
    elif isinstance(transform, (v1.Compose, v2.Compose)):
        for part in transform.transforms:
            yield from _steps(part)
    elif isinstance(transform, nn.Sequential):
        for part in transform:
            yield from _steps(part)
    elif isinstance(transform, PRESET):
        yield v1.Resize(transform.resize_size, transform.interpolation)
        yield v1.CenterCrop(transform.crop_size)
        yield v1.ToTensor()
        yield v1.Normalize(transform.mean, transform.std)
    else:
        yield transform


def _resized(step: Any, width: int, height: int) -> tuple[int, int]:
    """(width, height) after torchvision's Resize."""
    if not isinstance(step.size, int) and len(step.size) == 2:
        rows, cols = step.size
        return cols, rows
    short = step.size if isinstance(step.size, int) else step.size[0]
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def _resized_keeping_ratio(step: ResizeKeepRatio, width: int, height: int) -> tuple[int, int]:
    """(width, height) after timm's ResizeKeepRatio: between filling its size and fitting in it."""
    rows, cols = step.size
    ratios = sorted((height / rows, width / cols))
    ratio = ratios[1] * step.longest + ratios[0] * (1 - step.longest)
    return round(width / ratio), round(height / ratio)


def _centre(length: int, crop: int) -> int:
    """Where torchvision's CenterCrop starts; before 0 when it has to pad."""
    return round((length - crop) / 2.0) if length >= crop else -((crop - length) // 2)
