"""A square of a photo changed in ways that two networks can be shown alike: its pieces in another
order, some of it hidden, cut out beside.

Naseer et al. 2021, arXiv 2105.10497, compare Vision Transformers and convolutional networks so.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN
from torch import Tensor
from torchvision.transforms import v2

from vitviz.models.transform import mean_and_std
from vitviz.models.vit import Vit
from vitviz.recording.predictions import Prediction, rank_classes, read_outputs
from vitviz.recording.record import record_pixels
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = [
    "MARGIN",
    "SIDE",
    "cut_square",
    "hide_pieces",
    "predict_square",
    "record_square",
    "shuffle_pieces",
    "wide_square",
]

SIDE, MARGIN = 224, 14  # px of a square, and of what is known around it


def wide_square(photo: Image.Image) -> Tensor:
    """The middle of a photo with a margin: (3, 252, 252), colours from 0 to 1."""
    side = SIDE + 2 * MARGIN
    square = v2.Compose([v2.Resize(side), v2.CenterCrop(side)])
    pixels: Tensor = v2.functional.to_image(square(photo)) / 255
    return pixels


def cut_square(wide: Tensor, right: int = 0) -> Tensor:
    """A square in the middle of a wide one, (…, 224, 224).

    Args:
        wide: with an equal margin on each side.
        right: how many pixels further to the right it is cut out, at most the margin.
    """
    margin = (wide.shape[-1] - SIDE) // 2
    return wide[..., margin : margin + SIDE, margin + right : margin + right + SIDE]


def shuffle_pieces(square: Tensor, piece: int, generator: torch.Generator) -> Tensor:
    """The same pieces of piece × piece pixels, each elsewhere: (3, side, side)."""
    columns = F.unfold(square[None], piece, stride=piece)
    order = torch.randperm(columns.shape[-1], generator=generator)
    return F.fold(columns[..., order], square.shape[-2:], piece, stride=piece)[0]


def hide_pieces(square: Tensor, piece: int, share: float, generator: torch.Generator) -> Tensor:
    """A share of the pieces behind ImageNet's mean colour, drawn at random: (3, side, side). A
    larger share hides these and others."""
    across = square.shape[-1] // piece
    order = torch.randperm(across**2, generator=generator).reshape(across, across)
    hidden = (order < round(share * across**2)).repeat_interleave(piece, 0)
    mean = torch.tensor(IMAGENET_DEFAULT_MEAN)[:, None, None]
    return torch.where(hidden.repeat_interleave(piece, 1), mean, square)


def record_square(vit: Vit, photo: Image.Image, side: int) -> Recording:
    """The middle square of a photo at another size; the model interpolates its positions.

    Args:
        vit: a model that takes inputs of any size.
        photo: whose whole height or width is shown.
        side: of the input, in pixels.
    """
    square = v2.Compose([v2.Resize(side), v2.CenterCrop(side)])(photo)
    pixels = (v2.functional.to_image(square) / 255 - _mean(vit)) / _std(vit)
    return record_pixels(vit, pixels, (0.0, 0.0, float(side), float(side)))


@torch.no_grad()
def predict_square(vit: Vit, square: Tensor) -> list[Prediction]:
    """Every class, most probable first, of a square as it is, without the model's own cut.

    Args:
        vit: a model that takes squares of this size.
        square: (3, side, side), colours from 0 to 1.
    """
    pixels = (square - _mean(vit)) / _std(vit)
    with Recorder(vit.running) as recorder:
        found = vit.run(pixels[None].to(vit.anatomy.float_type))
    numbers, outputs = read_outputs(vit, found, recorder)
    return rank_classes(vit, outputs, numbers)


def _mean(vit: Vit) -> Tensor:
    return torch.as_tensor(mean_and_std(vit.transform)[0])[:, None, None]


def _std(vit: Vit) -> Tensor:
    return torch.as_tensor(mean_and_std(vit.transform)[1])[:, None, None]
