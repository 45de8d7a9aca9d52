"""Small random video Transformers of transformers, and a clip."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import transformers
from families import make_photo
from PIL import Image
from torch import nn

import vitviz

SIDE, FRAMES, THICK = 64, 8, 2  # px, of a clip, of a tubelet


def small_video_module(kind: str, **settings: Any) -> nn.Module:
    """Two layers of three heads over 4 × 4 × 4 tubelets, whose attention is far from uniform."""
    sizes = {
        "image_size": SIDE,
        "crop_size": SIDE,
        "num_frames": FRAMES,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 96,
        "id2label": {0: "walks", 1: "sits", 2: "eats"},
    }
    if kind == "VJEPA2":
        sizes["frames_per_clip"] = sizes.pop("num_frames")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**sizes, **settings)
    module = getattr(transformers, f"{kind}ForVideoClassification")(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    return module


def processor() -> transformers.VideoMAEImageProcessor:
    crop = {"height": SIDE, "width": SIDE}
    return transformers.VideoMAEImageProcessor(size={"shortest_edge": SIDE}, crop_size=crop)


@cache
def video(kind: str = "VideoMAE") -> vitviz.VideoVit:
    """One that is ready to be recorded; made once, as it is never changed."""
    return vitviz.from_video_module(small_video_module(kind), processor())


def moving_frames() -> list[Image.Image]:
    """A photo that moves by a few pixels from frame to frame."""
    photo = np.asarray(make_photo(size=(120, 80)))
    return [Image.fromarray(np.roll(photo, 6 * number, axis=1)) for number in range(FRAMES)]
