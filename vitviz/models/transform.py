"""What a transform does to a photo: where its part lies, and how its colours are scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence

from timm.data.transforms import CenterCropOrPad, MaybeToTensor, ResizeKeepRatio
from torchvision import transforms as v1

from vitviz.errors import ModelError
from vitviz.heatmap import Box

__all__ = ["input_box", "mean_and_std", "whole_photo"]

KEEPS_GEOMETRY = (v1.ToTensor, v1.PILToTensor, v1.ConvertImageDtype, v1.Normalize, MaybeToTensor)


def input_box(transform: object, size: tuple[int, int]) -> Box:
    """The part of a photo of `size` (width, height) that a transform shows to the model.

    Follows resizing and centre cropping with torchvision's and timm's own rounding. Padding makes
    the box larger than the photo.

    Raises:
        ModelError: for a step whose geometry is not known, since a guess would misplace every map.
    """
    width, height = size
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)  # in the photo's pixels
    for step in _steps(transform):
        if isinstance(step, v1.Resize) and step.max_size is None:
            width, height = _resized(step, width, height)
        elif isinstance(step, ResizeKeepRatio) and not (
            step.random_scale_prob or step.random_aspect_prob
        ):
            width, height = _resized_keeping_ratio(step, width, height)
        elif isinstance(step, (v1.CenterCrop, CenterCropOrPad)):
            rows, cols = step.size
            x_scale, y_scale = (right - left) / width, (bottom - top) / height
            x, y = _centre(width, cols), _centre(height, rows)
            left, right = left + x * x_scale, left + (x + cols) * x_scale
            top, bottom = top + y * y_scale, top + (y + rows) * y_scale
            width, height = cols, rows
        elif not isinstance(step, KEEPS_GEOMETRY):
            raise ModelError(
                "unknown_transform_step",
                "The transform's step {step} is not known, so its maps could not be placed on "
                "the photo; use Resize and CenterCrop.",
                step=type(step).__name__,
            )
    return left, top, right, bottom


def whole_photo(transform: object, size: tuple[int, int], patch: tuple[int, int]) -> v1.Compose:
    """A transform that shows all of a photo of `size` (width, height), in its own proportions.

    It gives about as many pixels as `transform` does, in whole patches: each side is rounded to a
    multiple of the patch, so that the photo is stretched by half a patch at most.

    Args:
        transform: the model's own; its interpolation and its colours are kept.
        size: of the photo.
        patch: (height, width) of a patch in pixels.

    Raises:
        ModelError: if the transform does not say what size it gives.
    """
    steps = list(_steps(transform))
    sizes = [step.size for step in steps if isinstance(step, (v1.CenterCrop, CenterCropOrPad))]
    sizes += [step.size for step in steps if isinstance(step, v1.Resize)]
    fixed = [(s[0], s[1]) for s in sizes if not isinstance(s, int) and len(s) == 2]
    if not fixed:
        raise ModelError(
            "transform_without_size",
            "The transform has no size of its own; add a CenterCrop of the input's size.",
        )
    scale = math.sqrt(math.prod(fixed[0]) / math.prod(size))
    height, width = (
        max(1, round(side * scale / cut)) * cut
        for side, cut in zip((size[1], size[0]), patch, strict=True)
    )
    resize = next((s for s in steps if isinstance(s, (v1.Resize, ResizeKeepRatio))), None)
    interpolation = getattr(resize, "interpolation", v1.InterpolationMode.BICUBIC)
    keeps = [step for step in steps if isinstance(step, KEEPS_GEOMETRY)]
    return v1.Compose([v1.Resize((height, width), interpolation), *keeps])


def mean_and_std(transform: object) -> tuple[Sequence[float], Sequence[float]]:
    """What the transform subtracts from each colour and divides it by; 0 and 1 if it does not."""
    for step in _steps(transform):
        if isinstance(step, v1.Normalize):
            return step.mean, step.std
    return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def _steps(transform: object) -> Sequence[object]:
    return transform.transforms if isinstance(transform, v1.Compose) else [transform]


def _resized(step: v1.Resize, width: int, height: int) -> tuple[int, int]:
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
