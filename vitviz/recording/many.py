"""Many photos, recorded a batch at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from vitviz.arguments import check_argument
from vitviz.errors import ModelError, VitvizError
from vitviz.models.vit import Vit
from vitviz.photos.given import PhotoLike
from vitviz.recording.record import Given, given_to, of_photo, record_batch, record_pixels
from vitviz.recording.recording import Recording

__all__ = ["check_batch_size", "record_many"]


def record_many(
    vit: Vit, photos: Iterable[PhotoLike | Tensor | Any], batch_size: int = 16
) -> Iterator[Recording]:
    """Record many photos, several in one forward pass: one recording after the other, in order.

    Each is what `record` gives for the photo alone, within rounding. Models whose attention does
    not keep the photos of a batch apart, such as those with windows, are run on one at a time.

    No more than a batch is held here, and its recordings share their memory: of those that are
    kept for long, save what is needed.

    Args:
        vit: the model.
        photos: anything that can be iterated: files, PIL images, arrays or tensors as `record`
            takes them; batches of tensors, (batch, channels, height, width), as a DataLoader
            gives them, alone or as the first of a tuple or list.
        batch_size: photos in one forward pass; on a processor more than a few gain little.

    Raises:
        VitvizError: if the batch size is not a number above 0, or one photo is given; when its
            turn comes, as `record` for a photo that cannot be recorded. The photos before it are
            given first.

    Examples:
        >>> recs = record_many(vit, [photo, photo.rotate(90)], batch_size=2)
        >>> [rec.predictions[0].label for rec in recs]
        ['Egyptian cat', 'Egyptian cat']
    """
    check_argument(record_many, "vit", vit)
    check_argument(record_many, "batch_size", batch_size)
    if isinstance(photos, (str, Path, bytes, Image.Image)):
        raise VitvizError(
            "one_photo_for_many",
            "record_many takes several photos, not {kind}; give a list, or use record.",
            kind=type(photos).__name__,
        )
    check_batch_size(batch_size)
    return _recordings(vit, _each(photos), batch_size)


def check_batch_size(batch_size: int) -> None:
    """VitvizError if a batch cannot hold so many photos."""
    if batch_size < 1:
        raise VitvizError(
            "batch_size_not_positive",
            "A batch holds 1 photo or more, not {batch_size}.",
            batch_size=batch_size,
        )


def _each(photos: Iterable[Any]) -> Iterator[Any]:
    """One photo after the other, also of batches."""
    for photo in photos:
        first = photo[0] if isinstance(photo, (tuple, list)) and len(photo) else photo
        if isinstance(first, Tensor) and first.ndim == 4:
            yield from first
        else:
            yield first


def _recordings(vit: Vit, photos: Iterator[Any], batch_size: int) -> Iterator[Recording]:
    together = True  # until the model shows that it cannot
    while batch := list(islice(photos, batch_size)):
        given, failure = _given(vit, batch)
        for _, group in groupby(given, key=lambda each: each.pixels.shape):
            together = yield from _of_one_size(vit, list(group), together)
        if failure:
            raise failure


def _of_one_size(
    vit: Vit, given: Sequence[Given], together: bool
) -> Generator[Recording, None, bool]:
    """Their recordings, none of which is held when the next are made; returns whether those may be
    made together."""
    recs: Iterable[Recording] = (record_pixels(vit, each.pixels, each.box) for each in given)
    if together and len(given) > 1:
        try:
            recs = record_batch(vit, given)
        except ModelError:  # it mixes them, or one of them cannot be recorded
            together = False
    yield from map(of_photo, recs, given)
    return together


def _given(vit: Vit, photos: Iterable[Any]) -> tuple[list[Given], VitvizError | None]:
    """What the model is given of photos, up to the first that it cannot be given, and why not."""
    given: list[Given] = []
    for photo in photos:
        try:
            given.append(given_to(vit, photo))
        except VitvizError as error:
            return given, error
    return given, None
