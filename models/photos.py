"""Labelled photos for training and evaluation, from Parquet files or an ImageFolder."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
