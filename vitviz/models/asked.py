"""What a transform does that does not say so, by asking it.

Photos whose brightness numbers their columns, or their rows, are pushed through it, and where each
pixel of the model's input came from is read off.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vitviz.errors import ModelError, Phrase
from vitviz.heatmap import Box

__all__ = ["Transform", "asked_box", "asked_mean_and_std", "asked_size"]

Transform = Callable[[Image.Image], Tensor]
Numbers = NDArray[np.floating]

LEVELS = np.arange(0, 256, 15)  # of grey, for colours that are not scaled evenly
EVEN = 0.01  # how far the middle of the greys may be off, in shares of black to white
ALIKE = 3  # neighbouring greys that may become one, as the darkest do
NEARLY_ALL = 0.95  # of the pixels have to lie where the box says
SMALL = (256, 256)
LEAST = 3  # pixels of a photo in each direction: an interpolation between two is one-sided
FEWEST = 4  # greys of the ramp that have to reach the model for its edges to be known well enough
PALE = (0.25, 0.75)  # greys of a second ramp
PALER = 0.03  # how far the places that its greys name may be off, in shares of the photo


@lru_cache(maxsize=64)
def asked_box(transform: Transform, size: tuple[int, int]) -> Box:
    """The part of a photo of `size` (width, height) that a transform shows to the model, to about
    a pixel of the model's input. Padding makes it larger than the photo.

    Raises:
        ModelError: if the transform moves pixels in a way that no box describes, mixes them all,
            changes the colours of each photo by itself, or draws random numbers; or the photo is
            too narrow to tell.
    """
    _require_fixed(transform, size)
    if min(size) < LEAST:
        raise _too_narrow(size)
    try:
        return _read_off(transform, size)
    except ModelError as error:
        if error.id == "photo_too_narrow" or not _mixes(transform, size):
            raise
        raise _mixed() from error


def _read_off(transform: Transform, size: tuple[int, int]) -> Box:
    """The box, if the pixels of grey ramps lie where it says."""
    width, height = size
    black, white = _flat(transform, size, 0), _flat(transform, size, 255)
    channel = int(np.abs(white - black).mean(axis=(1, 2)).argmax())
    range_ = (white - black)[channel]
    seen = np.abs(range_) > 1e-3 * np.abs(range_).max()  # the rest is padding
    if not seen.any():
        raise _moved(Phrase("photo_not_seen", "nothing of the photo reaches the model"))

    def share(pixels: Numbers) -> Numbers:
        return (pixels[channel] - black[channel])[seen] / range_[seen]

    grey = share(_flat(transform, size, 128)).mean()
    levels = LEVELS if abs(grey - 128 / 255) > EVEN else LEVELS[[0, -1]]
    shares = [share(_flat(transform, size, int(level))).mean() for level in levels]
    rises = np.diff(shares)
    if (rises < 0).any() or (rises == 0).sum() > ALIKE:
        raise _moved(Phrase("colours_not_kept", "brighter parts do not stay brighter"))
    edges: list[tuple[float, float]] = []
    for axis, length in ((0, width), (1, height)):
        pixels = _look(transform, _ramp(size, axis))
        came_from = np.interp(share(pixels), shares, levels / 255 * length)
        if np.ptp(came_from) < FEWEST / 255 * length:
            raise _too_narrow(size)
        _require_same_colours(
            came_from / length,
            np.interp(share(_look(transform, _ramp(size, axis, PALE))), shares, levels / 255),
        )
        places = np.nonzero(seen)[1 - axis] + 0.5
        edges.append(_edges(came_from, places, length, range_.shape[1 - axis]))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


@lru_cache(maxsize=64)
def asked_mean_and_std(transform: Transform) -> tuple[Sequence[float], Sequence[float]]:
    """What a transform subtracts from each colour, from 0 to 1, and divides it by."""
    black, white = (np.median(_flat(transform, SMALL, level), axis=(1, 2)) for level in (0, 255))
    std = 1 / np.where(white == black, 1.0, white - black)
    return tuple((-black * std).tolist()), tuple(std.tolist())


def asked_size(transform: Transform) -> tuple[int, int]:
    """(height, width) of the input that a transform makes of a square photo."""
    _, height, width = _flat(transform, SMALL, 0).shape
    return height, width


def _require_same_colours(full: Numbers, pale: Numbers) -> None:
    """ModelError if a paler ramp is not as much paler behind the transform: it spreads the greys of
    each photo by itself, as in equalising a histogram, and so they name no places.

    Args:
        full: the greys that came out, as places from 0 to 1 on the ramp from black to white.
        pale: those of the paler one.
    """
    low, high = PALE
    if np.median(np.abs((pale - low) / (high - low) - full)) > PALER:
        raise _mixed()


def _edges(came_from: Numbers, places: Numbers, length: int, count: int) -> tuple[float, float]:
    """Where the first of `count` pixels begins on the photo and the last ends.

    Args:
        came_from: the photo's coordinate that some pixels came from.
        places: their own coordinate.
        length: of the photo.
        count: of the input's pixels in this direction.
    """
    inner = np.ones(len(places), dtype=bool)
    for _ in range(3):  # at the photo's borders an interpolation is one-sided
        if len(np.unique(places[inner])) < 2:
            raise _moved(Phrase("not_along_axis", "columns or rows are not kept apart"))
        step, start = np.polyfit(places[inner], came_from[inner], 1)
        away = np.minimum(came_from, length - came_from) > 1.5 * abs(step) + 1
        inner = away if len(np.unique(places[away])) > 1 else inner
    if step <= 0:
        raise _moved(Phrase("photo_mirrored", "it is mirrored"))
    off = np.quantile(np.abs(came_from - (start + step * places))[inner], NEARLY_ALL)
    if off > 1.5 * (step + length / 255 + 1):
        raise _moved(Phrase("photo_bent", "it is turned, bent or cut into pieces"))
    return float(start), float(start + step * count)


def _require_fixed(transform: Transform, size: tuple[int, int]) -> None:
    """ModelError for a transform that draws random numbers, or gives something else each time."""
    photo = _ramp(size, 0)
    before = _generators()
    one, other = _look(transform, photo), _look(transform, photo)
    if _generators() != before or not np.array_equal(one, other, equal_nan=True):
        raise ModelError(
            "transform_random",
            "The transform draws random numbers, so its maps could not be placed on the photo; use "
            "the one for evaluation, without augmentation.",
        )


def _mixes(transform: Transform, size: tuple[int, int]) -> bool:
    """Whether most of the input changes with a spot in the photo's middle."""
    width, height = size
    plain = np.full((height, width), 128, np.uint8)
    spotted = plain.copy()
    rows, cols = (slice(s // 2 - s // 16 - 1, s // 2 + s // 16 + 1) for s in (height, width))
    spotted[rows, cols] = 255
    spotted[rows, width // 2 : cols.stop] = 0
    one, other = (_look(transform, Image.fromarray(x).convert("RGB")) for x in (plain, spotted))
    return bool((one != other).mean() > 0.5)


def _generators() -> tuple[object, ...]:
    """Where the generators of random numbers stand that transforms use."""
    numpys = np.random.get_state(legacy=False)["state"]
    return random.getstate(), str(numpys), torch.get_rng_state().numpy().tobytes()


def _look(transform: Transform, photo: Image.Image) -> Numbers:
    return transform(photo).detach().numpy().astype(np.float64)


def _flat(transform: Transform, size: tuple[int, int], level: int) -> Numbers:
    return _look(transform, Image.new("RGB", size, (level,) * 3))


def _ramp(size: tuple[int, int], axis: int, greys: tuple[float, float] = (0.0, 1.0)) -> Image.Image:
    """A grey photo, from black at the left (axis 0) or top (axis 1) to white, or between two other
    greys."""
    width, height = size
    length = size[axis]
    shares = (np.arange(length) + 0.5) / length
    numbers = np.rint((greys[0] + (greys[1] - greys[0]) * shares) * 255).astype(np.uint8)
    grey = np.broadcast_to(numbers if axis == 0 else numbers[:, None], (height, width))
    return Image.fromarray(np.ascontiguousarray(grey)).convert("RGB")


def _moved(reason: Phrase) -> ModelError:
    return ModelError(
        "transform_moves_pixels",
        "What the transform does to a photo is described by no box ({reason}), so its maps could "
        "not be placed; use Resize, CenterCrop and Pad.",
        reason=reason,
    )


def _too_narrow(size: tuple[int, int]) -> ModelError:
    return ModelError(
        "photo_too_narrow",
        "A photo of {width} × {height} px is too narrow to tell which part of it this transform "
        "shows; give another photo, or use Resize and CenterCrop alone.",
        width=size[0],
        height=size[1],
    )


def _mixed() -> ModelError:
    return ModelError(
        "transform_mixes_pixels",
        "In the transform each number of the input depends on the whole photo, as in whitening, in "
        "standardising each photo by itself or in equalising its histogram, so its maps could not "
        "be placed; use Normalize with fixed numbers.",
    )
