"""Pictures whose boxes are known, since they were put together: things cut out of samples, on
plain parts of others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

from PIL import Image

from vitviz.heatmap import Box
from vitviz.photos.load import load_image
from vitviz.photos.samples import samples

__all__ = ["THINGS", "Composed", "composed"]

THINGS: dict[str, Box] = {
    "cat": (0, 0, 380, 300),
    "coffee": (78, 16, 480, 389),
    "astronaut": (20, 15, 369, 512),
    "photographer": (0, 64, 330, 512),
    "tower": (66, 31, 370, 388),
}
"""The box around the thing of a sample, in pixels, read off the photo."""

GROUNDS: dict[str, Box] = {
    "mountains": (200, 0, 563, 363),
    "coffee": (480, 100, 600, 400),  # wood
    "tower": (380, 0, 640, 260),  # sky and trees
}
PLACES = ((0.1, 0.1), (0.45, 0.3))  # of the thing's upper left corner, in shares of the side
SIDE, THING = 448, 210  # px of the picture, and of the thing's longer side


@dataclass(frozen=True)
class Composed:
    """A picture and the box of what was put into it.

    Attributes:
        thing, ground: the samples that it is made of.
        photo: 448 × 448 px.
        box: of the thing.
    """

    thing: str
    ground: str
    photo: Image.Image
    box: Box


@cache
def composed() -> tuple[Composed, ...]:
    """Five things on three grounds in two places: 30 pictures, the same each time."""
    photos = {sample.id: load_image(sample.path) for sample in samples()}
    found = []
    for thing, ground, (x, y) in product(THINGS, GROUNDS, PLACES):
        cut = photos[thing].crop(THINGS[thing])
        scale = THING / max(cut.size)
        cut = cut.resize((round(cut.width * scale), round(cut.height * scale)))
        picture = photos[ground].crop(GROUNDS[ground]).resize((SIDE, SIDE))
        left, top = round(x * SIDE), round(y * SIDE)
        picture.paste(cut, (left, top))
        box = (float(left), float(top), float(left + cut.width), float(top + cut.height))
        found.append(Composed(thing, ground, picture, box))
    return tuple(found)
