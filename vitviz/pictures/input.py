"""What the model was given, as a picture."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from vitviz.models.transform import mean_and_std
from vitviz.models.vit import Vit
from vitviz.recording.recording import Recording

__all__ = ["draw_grid", "input_picture", "show_input"]


def input_picture(vit: Vit, pixels: Tensor) -> Image.Image:
    """An input of the model, (channels, height, width), as the RGB picture that it stands for.

    Colours that no photo has are clipped; channels beside them are left out.
    """
    mean, std = (torch.as_tensor(v)[:, None, None] for v in mean_and_std(vit.transform))
    colours = (pixels * std + mean).clamp(0, 1)
    picture: Image.Image = to_pil_image(colours if len(colours) == 1 else colours[:3])
    return picture.convert("RGB")


def show_input(rec: Recording, scale: int = 3) -> Image.Image:
    """What the model was given: its own input, enlarged, with the borders of the patches."""
    picture = input_picture(rec.vit, rec.pixels)
    picture = picture.resize(
        (picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC
    )
    height, width = rec.patch_size
    return draw_grid(picture, (height * scale, width * scale))


def draw_grid(picture: Image.Image, patch: tuple[float, float]) -> Image.Image:
    """The picture with the borders of its patches, (height, width) in pixels, in white.

    What is too narrow for a whole patch at the right and below stays without.
    """
    height, width = patch
    line = max(1, round(min(patch) / 40))
    rows, cols = int(picture.height / height), int(picture.width / width)
    ruled = picture.copy()
    draw = ImageDraw.Draw(ruled)
    for col in range(1, cols + (cols * width < picture.width)):
        x = round(col * width)
        draw.line((x, 0, x, round(rows * height)), fill="white", width=line)
    for row in range(1, rows + (rows * height < picture.height)):
        y = round(row * height)
        draw.line((0, y, round(cols * width), y), fill="white", width=line)
    return ruled
