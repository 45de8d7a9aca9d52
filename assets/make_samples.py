"""Write vitviz/data/samples/ from the photographs that scikit-image and scikit-learn ship.

python assets/make_samples.py
"""

from __future__ import annotations

import json
from pathlib import Path

import skimage.data
import sklearn.datasets
from PIL import Image, ImageFilter, ImageOps

OUT = Path(__file__).resolve().parents[1] / "vitviz" / "data" / "samples"
MAX_SIDE = 768
CHELSEA = "Chelsea the cat, photo by Stéfan van der Walt, CC0 1.0, from scikit-image"
COFFEE = "Espresso by Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0 1.0, from scikit-image"

# id, title, credit, alternative text
SAMPLES = [
    ("cat", "Cat", CHELSEA, "A ginger tabby cat looking at the camera."),
    (
        "cat-and-coffee",
        "Cat and coffee",
        f"{CHELSEA}; {COFFEE}",
        "A cat on the left, a cup of espresso on the right.",
    ),
    ("coffee", "Coffee", COFFEE, "A cup of espresso on a wooden table."),
    (
        "astronaut",
        "Astronaut",
        "Eileen Collins, NASA, public domain, from scikit-image",
        "An astronaut in an orange suit before a flag and a model of the space shuttle.",
    ),
    (
        "rocket",
        "Rocket",
        "Falcon 9 before the DSCOVR launch, SpaceX, public domain, from scikit-image",
        "A rocket on its launch pad at dusk, between lattice towers.",
    ),
    (
        "flower",
        "Flower",
        "Photo by vultilion, CC BY 2.0, from scikit-learn",
        "An orange dahlia before dark leaves.",
    ),
    (
        "tower",
        "Tower",
        "Photo by danielbuechele, CC BY 2.0, from scikit-learn",
        "A Chinese tower with green and red storeys among trees by a lake.",
    ),
]

# ImageNet's names for what a sample shows; none where no class fits.
CATS, CUPS = ["tabby", "tiger cat", "Egyptian cat"], ["espresso", "cup", "coffee mug"]
CLASSES = {
    "cat": CATS,
    "cat-and-coffee": CATS + CUPS,
    "coffee": CUPS,
    "astronaut": [],
    "rocket": ["missile", "projectile", "space shuttle"],
    "flower": [],
    "tower": ["palace", "stupa"],
}


def pictures() -> dict[str, Image.Image]:
    """Every sample by its id."""
    cat, coffee = (
        Image.fromarray(image()) for image in (skimage.data.chelsea, skimage.data.coffee)
    )
    return {
        "cat": cat,
        "cat-and-coffee": side_by_side(cat.crop((32, 0, 392, 300)), coffee.crop((78, 0, 478, 400))),
        "coffee": coffee,
        "astronaut": Image.fromarray(skimage.data.astronaut()),
        "rocket": Image.fromarray(skimage.data.rocket()),
        "flower": Image.fromarray(sklearn.datasets.load_sample_image("flower.jpg")),
        "tower": Image.fromarray(sklearn.datasets.load_sample_image("china.jpg")),
    }


def side_by_side(left: Image.Image, right: Image.Image, side: int = 600) -> Image.Image:
    """A square with one picture across each half, its top and bottom rows drawn out to the edge."""
    canvas = Image.new("RGB", (side, side))
    width = side // 2
    for x, picture in ((0, left), (width, right)):
        picture = ImageOps.contain(picture, (width, side), Image.Resampling.LANCZOS)
        top = (side - picture.height) // 2
        bottom = top + picture.height
        half = Image.new("RGB", (width, side))
        half.paste(picture.crop((0, 0, width, 1)).resize((width, top)), (0, 0))
        last = picture.crop((0, picture.height - 1, width, picture.height))
        half.paste(last.resize((width, side - bottom)), (0, bottom))
        half.paste(picture, (0, top))
        half = half.filter(ImageFilter.GaussianBlur(48))
        half.paste(picture, (0, top))
        canvas.paste(half, (x, 0))
    return canvas


def main() -> None:
    OUT.mkdir(exist_ok=True)
    rows: list[dict[str, object]] = []
    found = pictures()
    for key, title, credit, alt in SAMPLES:
        picture = found[key]
        picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        picture.save(OUT / f"{key}.jpg", quality=92)
        row = {"id": key, "title": title, "file": f"{key}.jpg", "credit": credit, "alt": alt}
        rows.append(row | {"classes": CLASSES[key]})
    text = json.dumps(rows, indent=2, ensure_ascii=False)
    (OUT / "credits.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
