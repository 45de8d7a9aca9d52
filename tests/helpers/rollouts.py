"""Rollout as its paper writes it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision import transforms

import vitviz
from vitviz.recording.calls import SoftmaxCall
from vitviz.recording.recording import Recording


def by_hand(
    maps: Sequence[list[list[list[float]]]], grid: tuple[int, int], prefix: int
) -> Recording:
    """A recording of given maps, (layers, heads, tokens, tokens)."""
    vit = vitviz.Vit(torch.nn.Identity(), "by hand", (), transforms.ToTensor())
    weights = [torch.tensor(layer)[None] for layer in maps]
    layers = tuple(SoftmaxCall("", w, torch.zeros(0)) for w in weights)
    box = (0.0, 0.0, 1.0, 1.0)
    return Recording(
        vit, torch.zeros(3, 1, 1), torch.zeros(2), layers, None, grid, prefix, True, box, 0.0
    )
