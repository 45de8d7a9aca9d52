"""Scikit-learn's 1,797 handwritten digits as photos in ten folders, for `vitviz finetune`.

    python -m benchmarks.digits out/digits

Each digit has 8 × 8 pixels of 17 shades; it is written as a PNG of 112 × 112 px, bicubic.
E. Alpaydin & C. Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository; the package scikit-learn ships them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 112


def write_digits(folder: Path) -> int:
    """Write the digits as `folder/<digit>/<number>.png`; returns how many there are."""
    digits = load_digits()
    for number, (picture, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(np.rint(picture * 255 / 16).astype(np.uint8))
        large = small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        large.save(folder / str(digit) / f"{number:04}.png")
    return len(digits.target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(f"{write_digits(folder)} digits in {folder}")


if __name__ == "__main__":
    main()
