"""Labelled photos for training and evaluation, from Parquet files or an ImageFolder."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = 64  # px; a photo with a longer short side counts as sharp


def read_table(path: Path) -> pd.DataFrame:
    """Columns image (encoded bytes), label (int) and source, from a .parquet file or a folder
    with one sub-folder a class."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path, columns=["image", "label", "source"])
    _, class_to_idx = find_classes(str(path))
    files = make_dataset(str(path), class_to_idx, extensions=IMG_EXTENSIONS)
    rows = [(Path(file).read_bytes(), label, path.name) for file, label in files]
    return pd.DataFrame(rows, columns=["image", "label", "source"])


def decode(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def short_side(data: bytes) -> int:
    return min(Image.open(io.BytesIO(data)).size)


def blunt(image: Image.Image) -> Image.Image:
    """A thumbnail's resolution and JPEG artefacts for a sharp photo.

    Most classes have thumbnails only, so sharpness would betray the few with sharp photos.
    """
    scale = random.uniform(48, 96) / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(
        buffer, "JPEG", quality=random.randint(75, 95)
    )
    return decode(buffer.getvalue())


def train_transform(size: int, min_area: float) -> v2.Compose:
    return v2.Compose(
        [
            v2.RandomResizedCrop(
                size, scale=(min_area, 1.0), interpolation=v2.InterpolationMode.BICUBIC
            ),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.3, 0.3, 0.3, 0.05)], p=0.5),
            v2.RandomGrayscale(0.05),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def eval_transform(size: int) -> v2.Compose:
    """Shorter side to `size`, centre crop: what the shipped `pretrained_cfg` says as well."""
    return v2.Compose(
        [
            v2.Resize(size, interpolation=v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(size),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def view_shares(table: pd.DataFrame, rate: float) -> pd.DataFrame:
    """How often to draw each photo, and how often to show it as a thumbnail.

    Thumbnail views show every class equally often; a class's sharp photos give up to half of its
    own (all, if it has no thumbnails). Sharp views are `rate` of all views and show a class in
    proportion to the square root of its number of sharp photos, so the few that most classes have
    are not repeated without end. Columns, one row a photo: `weight`, which sums to 1, and `blunt`,
    the chance that the photo is shown as a thumbnail.
    """
    sharp = table.image.map(short_side) > SMALL
    sharps = sharp.groupby(table.label).transform("sum")
    thumbs = (~sharp).groupby(table.label).transform("sum")
    shown_blunt = (1 - rate) / table.label.nunique()
    shown_sharp = rate * sharps**0.5 / sharps.groupby(table.label).first().pow(0.5).sum()
    from_sharp = (4 * sharps / (4 * sharps + thumbs)).clip(upper=0.5).where(thumbs > 0, 1.0)
    views = (shown_sharp + shown_blunt * from_sharp).where(sharp, shown_blunt * (1 - from_sharp))
    weight = views / sharps.where(sharp, thumbs)
    blunt_chance = (shown_blunt * from_sharp / views).where(sharp, 0.0)
    return pd.DataFrame({"weight": weight, "blunt": blunt_chance})


def log_priors(table: pd.DataFrame, shares: pd.DataFrame) -> torch.Tensor:
    """Log of each class's share of the thumbnail views and of the sharp views, (2, classes).

    Added to the logits in training (logit adjustment, Menon et al. 2021), they keep the model
    from learning that a sharp photo is likelier of a class with many sharp photos.
    """
    thumbnail = table.image.map(short_side) <= SMALL
    sharp_views = (shares.weight * (1 - shares.blunt)).where(~thumbnail, 0.0)
    views = pd.DataFrame({"blunt": shares.weight - sharp_views, "sharp": sharp_views})
    by_class = torch.tensor(views.groupby(table.label).sum().to_numpy().T, dtype=torch.float32)
    by_class = by_class.clamp_min(1e-6)  # a class that is never shown sharp
    return (by_class / by_class.sum(1, keepdim=True)).log()


class Photos(Dataset[tuple[torch.Tensor, int, bool]]):
    """One row of the table as (normalised tensor (3, size, size), class position, seen sharp).

    `blunt_chance`, one number a photo, is how often it is first reduced to a thumbnail.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        classes: list[int],
        transform: v2.Compose,
        blunt_chance: list[float] | None = None,
    ) -> None:
        position = {label: i for i, label in enumerate(classes)}
        self.images: list[bytes] = table.image.tolist()
        self.targets: list[int] = [position[label] for label in table.label]
        self.transform = transform
        self.blunt_chance = blunt_chance or [0.0] * len(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, bool]:
        image = decode(self.images[index])
        sharp = min(image.size) > SMALL and random.random() >= self.blunt_chance[index]
        if min(image.size) > SMALL and not sharp:
            image = blunt(image)
        return self.transform(image), self.targets[index], sharp
