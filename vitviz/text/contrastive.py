"""Contrastive learning: a photo's vector and its text's are drawn together, all others apart.

Radford et al. 2021, CLIP, arXiv 2103.00020: the cosines of n photos and n texts over a temperature,
a softmax along each row and each column, and the cross-entropy of the pairs on the diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Contrast", "contrast_pairs", "training_steps"]

RATE = 0.01  # of Adam


@dataclass(frozen=True, eq=False)
class Contrast:
    """A batch of n pairs.

    Attributes:
        cosines: of each photo (row) and each text (column), (n, n).
        temperature: τ, what they are divided by.
    """

    cosines: Tensor
    temperature: float

    @property
    def scores(self) -> Tensor:
        """Cosines over the temperature, (n, n)."""
        return self.cosines / self.temperature

    @property
    def texts_of_photos(self) -> Tensor:
        """Which text a photo takes: the softmax of each row, (n, n)."""
        return self.scores.softmax(dim=1)

    @property
    def photos_of_texts(self) -> Tensor:
        """Which photo a text takes: the softmax of each column, (n, n)."""
        return self.scores.softmax(dim=0)

    @property
    def loss(self) -> Tensor:
        """The mean of −ln of what the pairs on the diagonal get, by rows and by columns, in nats:
        ln n if nothing is known."""
        pairs = torch.arange(len(self.scores), device=self.scores.device)
        by_row = F.cross_entropy(self.scores, pairs)
        return (by_row + F.cross_entropy(self.scores.T, pairs)) / 2


def contrast_pairs(photos: Tensor, texts: Tensor, temperature: float) -> Contrast:
    """The contrast of pairs, photo i with text i.

    Args:
        photos: vectors of any length, (n, width).
        texts: the same of their texts.
        temperature: above 0; CLIP learns it and ends at 0.01.
    """
    cosines = F.normalize(photos, dim=-1) @ F.normalize(texts, dim=-1).T
    return Contrast(cosines, temperature)


def training_steps(
    features: Tensor, texts: Tensor, temperature: float, steps: int
) -> list[Contrast]:
    """A linear map from photos' features to their texts' vectors, trained on one batch from random
    weights; always the same ones.

    Args:
        features: of the photos, (n, any width).
        texts: vectors, (n, width).
        temperature: above 0.
        steps: of Adam.

    Returns:
        The contrast before the first step, and after each.
    """
    features = F.normalize(features - features.mean(dim=0), dim=-1)
    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        start = torch.randn(texts.shape[1], features.shape[1], generator=generator)
        weight = nn.Parameter(start / features.shape[1] ** 0.5)
        optimizer = torch.optim.Adam([weight], RATE)
        found = []
        for step in range(steps + 1):
            contrast = contrast_pairs(features @ weight.T, texts, temperature)
            found.append(Contrast(contrast.cosines.detach(), temperature))
            if step < steps:
                optimizer.zero_grad()
                contrast.loss.backward()
                optimizer.step()
    return found
