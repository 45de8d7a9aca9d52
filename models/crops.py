"""Random crops of many photos at once, on any device: decoded once, cropped by `roi_align`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.ops import roi_align

SIDE, SMALL = 256, 64  # px; sharp photos and thumbnails are kept as squares of these sides
JITTER = 0.4  # brightness, contrast and saturation change by up to this share


@dataclass(frozen=True)
class Crops:
    """How some crops are cut: numbers of their photos (n,), boxes in px of a photo of `SIDE`
    (n, 4: left, top, right, bottom), and factors of brightness, contrast, saturation (n, 3)."""

    photo: Tensor
    box: Tensor
    colour: Tensor

    def __getitem__(self, numbers: Tensor) -> Crops:
        return Crops(self.photo[numbers], self.box[numbers], self.colour[numbers])


class PhotoStore:
    """All photos of a table, decoded, as uint8 on one device.

    Each is squeezed to a square; its own proportions are remembered, so that crops undo it.
    """

    def __init__(self, table: pd.DataFrame, device: torch.device) -> None:
        images = [Image.open(io.BytesIO(data)) for data in table.image]
        sizes = np.array([image.size for image in images], dtype=np.float32)
        self.sharp = torch.from_numpy(sizes.min(axis=1) > SMALL)
        self.aspect = torch.from_numpy(sizes[:, 0] / sizes[:, 1])
        self.weight = torch.from_numpy(weights(table.label.to_numpy(), self.sharp.numpy()))
        self.place = torch.where(self.sharp, self.sharp.cumsum(0), (~self.sharp).cumsum(0)) - 1
        self.big, self.small = (
            torch.from_numpy(squares(images, np.flatnonzero(which), side)).to(device)
            for which, side in ((self.sharp.numpy(), SIDE), (~self.sharp.numpy(), SMALL))
        )
        self.device = device

    def draw(self, count: int, least: float, generator: torch.Generator) -> Crops:
        """So many random crops of at least this share of a photo's area."""
        photo = torch.multinomial(self.weight, count, replacement=True, generator=generator)
        random = torch.rand(count, 7, generator=generator)
        area = least + (1 - least) * random[:, 0]
        ratio = (4 / 3) ** (2 * random[:, 1] - 1) / self.aspect[photo]
        share = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)
        start = random[:, 2:4] * (1 - share)
        colour = 1 + JITTER * (2 * random[:, 4:] - 1)
        return Crops(photo, torch.cat([start, start + share], dim=1) * SIDE, colour)

    def pixels(self, crops: Crops, size: int) -> Tensor:
        """The crops, (n, 3, size, size), from 0 to 1."""
        place, sharp = self.place[crops.photo], self.sharp[crops.photo]
        photos = torch.empty(len(place), 3, SIDE, SIDE, device=self.device)
        photos[self._sent(sharp.nonzero()[:, 0])] = self.big[self._sent(place[sharp])].float()
        if not sharp.all():
            small = self.small[self._sent(place[~sharp])].float()
            photos[self._sent((~sharp).nonzero()[:, 0])] = F.interpolate(
                small, SIDE, mode="bicubic"
            )
        boxes = torch.cat([torch.arange(len(place))[:, None], crops.box], dim=1)
        cut = roi_align(photos, self._sent(boxes), size, sampling_ratio=2, aligned=True) / 255
        return recolour(cut, self._sent(crops.colour))

    def _sent(self, values: Tensor) -> Tensor:
        """On the device, without waiting for what it still has to do."""
        return values.to(self.device, non_blocking=True)


def weights(labels: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """How often each photo is drawn: n photos of a class count as √n, thumbnails as a quarter of
    that, and each photo without a label as a quarter of a class's only photo.

    So a class of many photos does not crowd out those of one, and these are not all there is.
    """
    group = pd.Series(1.0).repeat(len(labels)).groupby([labels, sharp]).transform("sum").to_numpy()
    return np.where(labels < 0, 0.25, group**-0.5 * np.where(sharp, 1.0, 0.25))


def squares(images: Sequence[Image.Image], which: np.ndarray, side: int) -> np.ndarray:
    """Some of the images as (photos, 3, side, side), uint8."""
    made = np.empty((len(which), 3, side, side), dtype=np.uint8)

    def fill(row: int) -> None:
        with images[which[row]] as photo:
            square = photo.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        made[row] = np.asarray(square).transpose(2, 0, 1)

    with ThreadPoolExecutor() as threads:  # Pillow decodes outside the interpreter's lock
        list(threads.map(fill, range(len(which))))
    return made


def recolour(pixels: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast and saturation of (n, 3, h, w) times factors (n, 3)."""
    brightness, contrast, saturation = (f[:, None, None, None] for f in factors.T)
    pixels = pixels * brightness
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = mean + contrast * (pixels - mean)
    grey = pixels.mean(dim=1, keepdim=True)
    return (grey + saturation * (pixels - grey)).clamp(0, 1)
