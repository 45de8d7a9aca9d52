"""Files to take away: the picture, and the numbers behind it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vitviz.recording.recording import Recording

__all__ = ["as_jpeg", "write_attention", "write_png"]

AXES = """attention_<layer>: attention after the softmax, float32 (heads, queries, keys).
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
    """A picture as a JPEG file for the screen.

    Examples:
        >>> as_jpeg(photo)[:2]
        b'\\xff\\xd8'
    """
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def write_png(picture: Image.Image, file: Path | BinaryIO) -> None:
    """Write a picture as PNG.

    Examples:
        >>> write_png(vitviz.overlay(photo, heat), Path("rollout.png"))
    """
    picture.save(file, format="PNG")


def write_attention(rec: Recording, file: Path | BinaryIO) -> None:
    """Write every attention map of a recording, one array a layer, as a NumPy archive that
    explains its axes in its entry `readme`.

    Examples:
        >>> write_attention(rec, Path("attention.npz"))
        >>> with np.load("attention.npz") as maps:
        ...     maps["attention_11"].shape  # (heads, queries, keys)
        (6, 257, 257)
    """
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
        "readme": AXES,
    }
    if rec.edits:
        arrays["edits"] = [str(edit) for edit in rec.edits]
    np.savez(file, **arrays)
