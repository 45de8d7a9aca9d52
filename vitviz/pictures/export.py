"""Files to take away: the picture, and the numbers behind it."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vitviz.heatmap import Heatmap
from vitviz.recording.recording import Recording

__all__ = ["as_jpeg", "write_attention", "write_npz", "write_png"]

AXES = """values: heatmap, float32 (rows, cols), one value a patch, row 0 at the top.
box: (left, top, right, bottom) of the photo, in its pixels, that the grid covers.
method: the explanation's id.
What it was made from; what there is not, such as the class of a map without one, is left out:
options: the method's options and their values, as JSON.
layer: the layer whose attention it shows, from 0; left out for a map of all layers.
query: the token that looks: cls, or a patch as row,column.
target, target_label: the class that it explains, by index and name.
versus, versus_label: the class that it is explained against.
model: its name.
weights: SHA-256 of the model's weights.
input: SHA-256 of what the model was given, the photo as its transform made it.
edits: what was done to the model, one text for each edit, in order."""

ATTENTION_AXES = """attention_<layer>: attention after the softmax, float32 (heads, queries, keys).
    Rows sum to 1. Queries and keys are the tokens: first num_prefix_tokens that are no patches
    (class token, distillation token, registers), then the patches row by row from the top left.
grid: rows and columns of patches.
num_prefix_tokens: how many tokens come before the patches.
box: (left, top, right, bottom) of the photo, in its pixels, that the grid covers.
outputs: what the model's numbers mean: softmax, sigmoid, score or embedding.
labels, probabilities: the predictions, most probable first; of scores: labels, scores.
model: its name.
edits: what was done to the model, one text for each edit, in order; left out without any."""


def as_jpeg(picture: Image.Image) -> bytes:
    """A picture as a JPEG file for the screen."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def write_png(picture: Image.Image, file: Path | BinaryIO) -> None:
    """Write a picture as PNG."""
    picture.save(file, format="PNG")


def write_npz(heat: Heatmap, file: Path | BinaryIO) -> None:
    """Write a heatmap's numbers as a NumPy archive that explains itself in its entry `readme`."""
    entries = {"method": heat.method, **_made_from(heat), "readme": AXES}
    np.savez_compressed(file, values=heat.values, box=np.array(heat.box), **entries)


def _made_from(heat: Heatmap) -> dict[str, Any]:
    """What the map was made from, each as text or a number; nothing where it is not known."""
    made = heat.made_from
    if made is None:
        return {}
    query = made.query if isinstance(made.query, str | None) else ",".join(map(str, made.query))
    options = json.dumps(made.options)
    entries = {**asdict(made), "options": options, "layer": made.layer, "query": query}
    entries["edits"] = made.edits or None
    return {name: value for name, value in entries.items() if value is not None}


def write_attention(rec: Recording, file: Path | BinaryIO) -> None:
    """Write every attention map of a recording, one array a layer, as a NumPy archive that
    explains its axes in its entry `readme`."""
    arrays: dict[str, Any] = {
        f"attention_{layer}": rec.attention(layer).numpy() for layer in range(rec.num_layers)
    }
    values = "scores" if rec.outputs == "score" else "probabilities"
    arrays |= {
        "grid": rec.grid,
        "num_prefix_tokens": rec.num_prefix_tokens,
        "box": rec.box,
        "labels": [prediction.label for prediction in rec.predictions],
        "outputs": rec.outputs,
        values: [prediction.value for prediction in rec.predictions],
        "model": rec.vit.name,
        "readme": ATTENTION_AXES,
    }
    if rec.edits:
        arrays["edits"] = [str(edit) for edit in rec.edits]
    np.savez(file, **arrays)
