"""The photos of a folder as a training needs them: checked, split, and ready to enter the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from vitviz.errors import ModelError
from vitviz.finetuning.settings import FinetuneSettings
from vitviz.models.transform import mean_and_std
from vitviz.photos.folder import LEAST, Opened, PhotoFolder
from vitviz.progress import Progress
from vitviz.training.augmentation import AUGMENTATIONS, augmentation, views
from vitviz.training.plan import hold_out
from vitviz.training.trained_part import Inputs, frozen_part
from vitviz.training.training import Draw
from vitviz.zoo.load import Vit

__all__ = ["Stages", "TrainingPhotos", "prepare"]

ROOM = 2 * 2**30  # bytes of inputs, or of photos, that are kept in memory


@dataclass
class Stages:
    """What a long computation is doing, and how long each stage of it took.

    Attributes:
        report: called with the stage's name and its finished share.
        seconds: of each stage that is over, by name.
    """

    report: Callable[[str, float], object]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[Progress]:
        started = perf_counter()
        self.report(name, 0.0)
        yield partial(self.report, name)
        self.seconds[name] = perf_counter() - started


@dataclass(frozen=True, eq=False)
class TrainingPhotos:
    """Photos that train and photos that are held out.

    Attributes:
        folder: all that can be used.
        held_out_files: those of them that are held out.
        inputs, targets: what trains; see `Training`.
        held_out_inputs, held_out_targets: what the training is measured on.
    """

    folder: PhotoFolder
    held_out_files: list[Path]
    inputs: Tensor | Draw
    targets: Tensor
    held_out_inputs: Inputs
    held_out_targets: Tensor


def prepare(
    vit: Vit, folder: PhotoFolder, settings: FinetuneSettings, stages: Stages
) -> TrainingPhotos:
    """Open every photo, leave out what is broken, and compute what is the same in every step.

    Args:
        vit: the model as it is before the training.
        folder: the photos.
        settings: without random views, the frozen part is computed once, if it fits into memory.
        stages: is told what is done.

    Raises:
        VitvizError: if a class has too few usable photos.
    """
    blocks, augment, seed = settings.blocks, settings.augment, settings.seed
    channels, *size = vit.transform(Image.new("RGB", (64, 64))).shape
    side = 2 * max(size)  # a random crop shows at least 0.55 of it
    kind = vit.anatomy.float_type
    pixels = Opened(
        folder.files,
        lambda photo: vit.transform(photo).to(kind),
        ROOM // (4 * channels * math.prod(size)),
    )
    copies = Opened(folder.files, partial(_smaller, side=side), ROOM // (3 * side * side))
    with stages("Reading photos") as progress:
        broken = (copies if augment else pixels).broken(progress)
    folder = folder.without(broken)
    trained, held_out = hold_out(folder.counts, LEAST, settings.hold_out, seed)
    files, held_out_files = ([folder.files[i] for i in some] for some in (trained, held_out))
    with stages("Frozen part") as progress:
        if augment:
            inputs: Tensor | Draw = views(
                copies.only(files), _random_view(vit, size, augment), seed
            )
        else:
            entering = _entering(vit, pixels.only(files), blocks, progress)
            inputs = entering if isinstance(entering, Tensor) else _drawn(entering)
    with stages("Held-out photos") as progress:
        held = _entering(vit, pixels.only(held_out_files), blocks, progress)
    targets = torch.tensor(folder.targets)
    return TrainingPhotos(folder, held_out_files, inputs, targets[trained], held, targets[held_out])


def _entering(
    vit: Vit, pixels: Opened[Tensor], blocks: int | None, progress: Progress
) -> Tensor | Opened[Tensor]:
    """What enters the trained part, computed once; the pixels where there is no room for it or the
    trained blocks need more than the tokens, such as rotary embeddings."""
    anatomy = vit.anatomy
    numbers = pixels[0].numel()
    if blocks is not None:
        tokens = anatomy.num_patches + (anatomy.num_prefix_tokens or 0)
        numbers = anatomy.width * (tokens if blocks else 1)
    if 4 * numbers * len(pixels) > ROOM:
        return pixels
    try:
        return frozen_part(vit, pixels, blocks, progress)
    except ModelError:
        return pixels


def _drawn(pixels: Opened[Tensor]) -> Draw:
    """Pixels as they are, whatever the step."""
    return lambda numbers, _: torch.stack([pixels[number] for number in numbers.tolist()])


def _random_view(
    vit: Vit, size: Sequence[int], kinds: Sequence[str]
) -> Callable[[Image.Image], Tensor]:
    """A random part of a photo in random colours, normalised as the model's own transform does."""
    mean, std = mean_and_std(vit.transform)
    chosen = {kind: kind in kinds for kind in AUGMENTATIONS}
    steps = [
        augmentation(size, **chosen),
        v2.ToImage(),
        v2.ToDtype(vit.anatomy.float_type, scale=True),
        v2.Normalize([float(m) for m in mean], [float(s) for s in std]),
    ]
    return v2.Compose(steps)


def _smaller(photo: Image.Image, side: int) -> Image.Image:
    """A copy whose shorter side is no longer than `side` pixels."""
    factor = side / min(photo.size)
    if factor >= 1:
        return photo
    width, height = (round(length * factor) for length in photo.size)
    return photo.resize((width, height), Image.Resampling.LANCZOS)
