"""Small noisy photos of three colours: classes that a small model learns in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import vitviz

COLOURS = {"green": (40, 190, 60), "red": (200, 40, 40), "sea blue": (40, 60, 200)}
EACH = 10
QUICK = vitviz.FinetuneSettings(epochs=3, batch=5, rate=3e-3, patience=9)


def write_photo(file: Path, colour: tuple[int, ...], generator: np.random.Generator) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = generator.normal(0, 60, (40, 48, 3))
    Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(file)
