"""The pictures of the lessons on the start page, computed from the bundled model and a sample.

python assets/make_lesson_pictures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import vitviz
from vitviz.inside.convolution import effective_field
from vitviz.inside.features import patch_features, principal_components
from vitviz.inside.lost import centred_keys, find_object
from vitviz.inside.positions import position_similarity
from vitviz.inside.score_matrix import score_matrix
from vitviz.inside.tokens import patch_pixels
from vitviz.interventions.masking import mask_patches
from vitviz.interventions.token_merging import merge_tokens
from vitviz.measures.boxes import placed
from vitviz.methods.attention import head_maps
from vitviz.pictures.boxes import draw_boxes
from vitviz.pictures.groups import paint_groups
from vitviz.pictures.input import input_picture, show_input
from vitviz.pictures.overlay import colorize, mark_patch, shared_scale
from vitviz.pictures.spotlight import spotlight
from vitviz.text.captions import patches_for_words
from vitviz.text.record import text_vectors
from vitviz.training.augmentation import random_crops
from vitviz.training.pretraining import hidden_patches
from vitviz.zoo.catalogue import COUNTERPART

OUT = Path(__file__).parents[1] / "vitviz" / "ui" / "lessons" / "pictures"
SIZE = (480, 270)
SAMPLE, PATCH, LAYER = "cat", (5, 5), 8


def main() -> None:
    """Write one picture a lesson."""
    sample = next(sample for sample in vitviz.samples() if sample.id == SAMPLE)
    rec = vitviz.record(vitviz.load_model(), vitviz.load_image(sample.path))
    seen = input_picture(rec.vit, rec.pixels)
    rows, cols = rec.grid

    def over(heat: vitviz.Heatmap) -> Image.Image:
        return vitviz.overlay(seen, vitviz.Heatmap(heat.values, (0, 0, *seen.size), heat.method))

    gaze = vitviz.explain(rec, "attention", PATCH, layer=LAYER)
    at_patch = vitviz.Heatmap(gaze.values, (0, 0, *seen.size), gaze.method)
    heads = [over(heat) for head, heat in head_maps(rec, LAYER, "cls").items() if head is not None]
    layers = [
        over(vitviz.explain(rec, "attention", layer=layer)) for layer in range(rec.num_layers)
    ]
    places = position_similarity(rec).flatten(0, 1)[:: rows * 2 + 2].flatten(1).numpy()
    parts = principal_components(patch_features(rec))[0]
    low, high = torch.aminmax(parts.flatten(0, 1), dim=0)
    alone = input_picture(rec.vit, patch_pixels(rec, PATCH))
    pictures = {
        "idea": [alone.resize((256, 256), Image.Resampling.NEAREST), over(gaze)],
        "tokens": [show_input(rec)],
        "positions": [_map(row.reshape(rows, cols)) for row in places[:8]],
        "attention": [mark_patch(over(gaze), at_patch, PATCH), seen],
        "matrix": [_signed(score_matrix(rec, LAYER, head).numpy()) for head in (0, 5)],
        "manyheads": heads,
        "layers": layers,
        "prediction": [over(vitviz.explain(rec, "legrad")), seen],
        "training": random_crops(seen, 8, seed=0),
        "pretraining": [_three_quarters_hidden(rec), seen],
        "cnn": _fields(rec),
        "cost": [_map(np.sqrt(rec.attention(LAYER)[head].numpy())) for head in (1, 3)],
        "words": [_map(map_) for map_ in _word_maps()],
        "captions": [over(_answer(rec, "a cat")), seen],
        "detection": _boxed(rec.vit),
        "outlook": [paint_groups(seen, merge_tokens(rec, 16).groups.numpy()), seen],
        "beyond": [_picture((255 * (parts - low) / (high - low)).byte().numpy()), seen],
    }
    OUT.mkdir(exist_ok=True)
    for name, found in pictures.items():
        _sheet(found).save(OUT / f"{name}.webp", quality=80, method=6)


def _boxed(vit: vitviz.Vit) -> list[Image.Image]:
    """A sample, and its mask and box."""
    sample = next(sample for sample in vitviz.samples() if sample.id == "tower")
    rec = vitviz.record(vit, sample.path)
    seen = input_picture(vit, rec.pixels)
    found = find_object(centred_keys(rec, rec.num_layers - 1))
    box = (0.0, 0.0, float(seen.width), float(seen.height))
    mask = vitviz.Heatmap(found.mask.float().numpy(), box, "mask")
    outline = (placed(found.corners, rec.grid, box), "#3ddc84")
    return [draw_boxes(spotlight(seen, mask), [outline]), seen]


def _three_quarters_hidden(rec: vitviz.Recording) -> Image.Image:
    """What an MAE's encoder would be given."""
    hidden = hidden_patches(rec.grid, 0.75, seed=0)
    given = mask_patches(rec, hidden[None], torch.zeros(len(rec.pixels), 1, 1))[0]
    return input_picture(rec.vit, given)


def _fields(rec: vitviz.Recording) -> list[Image.Image]:
    """What moves one place of the convolutional network, and of the Vision Transformer."""
    cnn = vitviz.load_model(COUNTERPART)
    sample = next(sample for sample in vitviz.samples() if sample.id == SAMPLE)
    pixels = cnn.transform(vitviz.load_image(sample.path))
    near = effective_field(cnn, pixels, "blocks.3.2", lambda maps: maps[0, :, 8, 8])
    token = rec.num_prefix_tokens + 8 * rec.grid[1] + 8
    far = effective_field(rec.vit, rec.pixels, "blocks.1", lambda tokens: tokens[0, token])
    shown = []
    for vit, seen, field in ((cnn, pixels, near), (rec.vit, rec.pixels, far)):
        photo = input_picture(vit, seen)
        values = F.avg_pool2d(field[None], 4)[0].numpy()
        heat = vitviz.Heatmap(values, (0, 0, *photo.size), "gradient")
        shown.append(vitviz.overlay(photo, heat, scale=shared_scale([heat])))
    return shown


def _word_maps() -> list[np.ndarray]:
    """Eight heads of the text model on a sentence, each (tokens, tokens)."""
    rec = vitviz.record_text(vitviz.load_text_model(), "The cat sat on the mat: it was tired.")
    heads = ((0, 2), (1, 8), (0, 5), (2, 11), (1, 10), (3, 8), (4, 2), (5, 11))
    return [np.sqrt(rec.attention(layer)[head].numpy()) for layer, head in heads]


def _answer(rec: vitviz.Recording, words: str) -> vitviz.Heatmap:
    """Which patches speak for these words."""
    [text] = text_vectors(vitviz.load_text_model(), [words])
    return patches_for_words(rec, text)


def _map(values: np.ndarray) -> Image.Image:
    return _picture(colorize(values.astype(np.float32), "inferno", (values.min(), values.max())))


def _signed(values: np.ndarray) -> Image.Image:
    most = np.quantile(np.abs(values), 0.99)
    return _picture(colorize(values.astype(np.float32), "RdBu_r", (-most, most)))


def _picture(colours: np.ndarray) -> Image.Image:
    return Image.fromarray(colours).resize((256, 256), Image.Resampling.NEAREST)


def _sheet(pictures: list[Image.Image]) -> Image.Image:
    """As many in a row as fill the sheet best; each is cut to its place, from the middle."""
    rows = {1: 1, 2: 1, 6: 2, 8: 2, 12: 2}[len(pictures)]
    cols = len(pictures) // rows
    sheet = Image.new("RGB", SIZE)
    width, height = SIZE[0] // cols, SIZE[1] // rows
    for number, picture in enumerate(pictures):
        scale = max(width / picture.width, height / picture.height)
        grown = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        left, top = (grown.width - width) // 2, (grown.height - height) // 2
        cut = grown.crop((left, top, left + width, top + height))
        sheet.paste(cut, (number % cols * width, number // cols * height))
    return sheet


if __name__ == "__main__":
    main()
