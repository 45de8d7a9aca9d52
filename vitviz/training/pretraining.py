"""What pretraining asks of a model: a label, a teacher's answer to another view, hidden pixels.

Caron et al. 2021, DINO, arXiv 2104.14294; He et al. 2021, MAE, arXiv 2111.06377.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from vitviz.recording.recording import Recording

__all__ = [
    "DIRECTIONS",
    "Distilled",
    "global_and_local",
    "hidden_patches",
    "label_gradient",
    "masked_loss",
    "nearest_visible",
    "patch_targets",
    "self_distillation",
]

GLOBAL, LOCAL = (0.7, 1.0), (0.3, 0.5)  # side of a view, as a share of the photo's shorter one
SMALL = 1e-6  # is added to a variance
DIRECTIONS = 16  # DINO has 65,536
SHARP, SOFT = 0.04, 0.1  # temperatures of the teacher and of the student
MOMENTUM, RATE = 0.9, 0.01  # of moving averages; of Adam


def label_gradient(logits: Tensor, label: int) -> Tensor:
    """∂(−ln p_y)/∂z = p − y, (classes,): how the label y pulls at each logit z."""
    return logits.softmax(dim=-1) - F.one_hot(torch.tensor(label), len(logits))


def global_and_local(photo: Image.Image, seed: int) -> tuple[Image.Image, Image.Image]:
    """Two square views of a photo: most of it, and a small part."""
    generator = np.random.default_rng(seed)
    found = []
    for low, high in (GLOBAL, LOCAL):
        side = round(min(photo.size) * generator.uniform(low, high))
        left, top = (int(generator.integers(0, length - side + 1)) for length in photo.size)
        found.append(photo.crop((left, top, left + side, top + side)))
    return found[0], found[1]


@dataclass(frozen=True)
class Distilled:
    """One step of a small DINO.

    Attributes:
        teacher: what the teacher says of each photo's large view, (photos, directions): rows of
            probabilities.
        loss: −Σ p_teacher ln p_student, the mean over the photos, in nats.
    """

    teacher: Tensor
    loss: float

    @property
    def entropy(self) -> float:
        """Of the teacher's rows, the mean in nats: ln of the directions if all are alike."""
        return float(torch.special.entr(self.teacher).sum(dim=-1).mean())

    @property
    def used(self) -> int:
        """How many directions come first for some photo."""
        return len(self.teacher.argmax(dim=-1).unique())


def self_distillation(
    large: Tensor, small: Tensor, *, centred: bool, sharp: bool, steps: int
) -> list[Distilled]:
    """DINO's last layer alone, trained on a few photos from random weights; always the same ones.

    A student, one matrix, learns to say of a photo's small view what the teacher says of its large
    one. The teacher is the student's moving average. Its answers are centred, by a moving mean over
    the photos, and sharpened, by a lower temperature than the student's.

    Args:
        large, small: features of both views, (photos, width); the model that gave them stays as it
            is.
        centred: whether the moving mean is subtracted.
        sharp: whether the teacher's temperature is 0.04, or the student's 0.1.
        steps: of Adam.

    Returns:
        How it is before the first step, and after each.
    """
    large, small = F.normalize(large, dim=-1), F.normalize(small, dim=-1)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(DIRECTIONS, large.shape[-1], generator=generator)
    student = nn.Parameter(drawn / large.shape[-1] ** 0.5)
    teacher = student.detach().clone()
    optimizer = torch.optim.Adam([student], RATE)
    centre = (large @ teacher.T).mean(dim=0)
    found = []
    with torch.enable_grad():
        for _ in range(steps + 1):
            given = large @ teacher.T
            answers = (given - centre * centred) / (SHARP if sharp else SOFT)
            wanted = answers.softmax(dim=-1)
            loss = F.cross_entropy(small @ student.T / SOFT, wanted)
            found.append(Distilled(wanted, float(loss.detach())))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            teacher = MOMENTUM * teacher + (1 - MOMENTUM) * student.detach()
            centre = MOMENTUM * centre + (1 - MOMENTUM) * given.mean(dim=0)
    return found


def hidden_patches(grid: tuple[int, int], share: float, seed: int) -> Tensor:
    """A share of the patches, drawn at random: boolean (rows, cols). A larger share hides these and
    others."""
    count = grid[0] * grid[1]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return (order < round(share * count)).reshape(grid)


def patch_targets(rec: Recording) -> Tensor:
    """What MAE's decoder is to paint: each patch's numbers less their mean, over their standard
    deviation, (rows, cols, numbers)."""
    height, width = rec.patch_size
    rows, cols = rec.grid
    seen = rec.pixels[:, : rows * height, : cols * width]
    patches = seen.unfold(1, height, height).unfold(2, width, width).permute(1, 2, 0, 3, 4)
    numbers = patches.flatten(2)
    centred = numbers - numbers.mean(dim=-1, keepdim=True)
    return centred / (numbers.var(dim=-1, keepdim=True) + SMALL).sqrt()


def nearest_visible(hidden: Tensor) -> Tensor:
    """Of each patch the number of the nearest patch that is visible, row after row: (rows, cols).

    Args:
        hidden: boolean (rows, cols), not all true.
    """
    rows, cols = (torch.arange(n, dtype=torch.float32) for n in hidden.shape)
    places = torch.cartesian_prod(rows, cols)
    far = torch.cdist(places, places)
    far[:, hidden.flatten()] = torch.inf
    return far.argmin(dim=1).reshape(hidden.shape)


def masked_loss(targets: Tensor, guess: Tensor, hidden: Tensor) -> float:
    """MAE's loss: the mean squared error of the hidden patches; the visible ones do not count.

    Args:
        targets: from `patch_targets`, (rows, cols, numbers).
        guess: the same, or what expands to it.
        hidden: boolean (rows, cols).
    """
    errors = (guess - targets).square().mean(dim=-1)
    return float(errors[hidden].mean())
