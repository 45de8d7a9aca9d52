"""How often Vision Transformers and convolutional networks are right: measured here, published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "CHANGED",
    "CHANGED_PHOTOS",
    "MEASURED",
    "PUBLISHED",
    "Changed",
    "Measured",
    "Published",
]

Kind = Literal["vit", "cnn"]


@dataclass(frozen=True)
class Measured:
    """First answers that were right, in per cent, of the two bundled models (see their cards).

    Attributes:
        source: of the photos, which the Vision Transformer was not trained on.
        photos: how many.
        vit, cnn: of `vit_small_patch14_in1k` and of `efficientnet_lite2_in1k`.
    """

    source: str
    photos: int
    vit: float
    cnn: float


@dataclass(frozen=True)
class Changed:
    """The same on photos that were changed, of `benchmarks/vit_and_cnn.py`.

    Attributes:
        vit, cnn: photos with the same first answer as before the change, in per cent.
    """

    vit: float
    cnn: float


@dataclass(frozen=True)
class Published:
    """A published accuracy: first answers that were right on ImageNet's validation photos.

    Attributes:
        model: its name.
        kind: Vision Transformer or convolutional network.
        data: what it was trained on first.
        top1: per cent.
        source: who says so, and where.
    """

    model: str
    kind: Kind
    data: str
    top1: float
    source: str


MEASURED = (
    Measured("nips17", 1000, 50.2, 90.2),
    Measured("imagenette224", 200, 81.5, 75.0),
    Measured("imagewoof320", 200, 83.5, 82.0),
)
CHANGED_PHOTOS = 150
CHANGED = {
    "shuffled": Changed(34.0, 2.0),
    "hidden": Changed(59.3, 28.7),
    "shifted": Changed(92.0, 96.7),
}
PUBLISHED = (
    Published("EfficientNet-Lite2", "cnn", "ImageNet-1k", 77.6, "Google 2020, tensorflow/tpu"),
    Published("ConvNeXt-T", "cnn", "ImageNet-1k", 82.1, "Liu et al. 2022"),
    Published("ViT-B/16", "vit", "ImageNet-1k", 77.9, "Dosovitskiy et al. 2020"),
    Published("DeiT-S", "vit", "ImageNet-1k", 79.8, "Touvron et al. 2020"),
    Published("ResNet-152×4 (BiT-L)", "cnn", "JFT-300M", 87.5, "Kolesnikov et al. 2019"),
    Published("ViT-H/14", "vit", "JFT-300M", 88.6, "Dosovitskiy et al. 2020"),
)
