"""What keeps a large model from learning its photos by heart: blocks left out, attention left out,
weights drawn to 0.

Huang et al. 2016, stochastic depth, arXiv 1603.09382; Loshchilov & Hutter 2017, AdamW,
arXiv 1711.05101.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vitviz.recording.changes import OutputChange
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = ["drop_attention", "weights_left", "without_each_block"]


@torch.no_grad()
def without_each_block(rec: Recording) -> Tensor:
    """Logits of the model with one block left out, so that its tokens pass unchanged:
    (blocks, classes). Drop path does so at random in training."""
    names, pixels = rec.vit.anatomy.blocks, rec.pixels[None].to(rec.vit.anatomy.float_type)
    with Recorder(rec.vit.running, watch=names) as whole:
        rec.vit.run(pixels)
    found = []
    for name in names:
        without = OutputChange(name, partial(_passed, whole.inputs[name]))
        with Recorder(rec.vit.running, changes=[without]):
            found.append(rec.vit.run(pixels)[0].float())
    return torch.stack(found)


def _passed(given: Tensor, output: Tensor) -> Tensor:
    """What a block was given, in the place of what it gives."""
    del output
    return given


def drop_attention(weights: Tensor, probability: float, seed: int) -> Tensor:
    """Each attention weight set to 0 with a probability, the others divided by 1 − probability, so
    that the mean stays: (…, tokens) → (…, tokens)."""
    drawn = torch.rand(weights.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(drawn < probability, 0.0, weights / (1 - probability))


def weights_left(rate: float, decay: float, steps: int) -> float:
    """Which share of a weight AdamW's decay leaves after so many steps, if no gradient moves it:
    (1 − rate · decay)^steps."""
    return (1 - rate * decay) ** steps
