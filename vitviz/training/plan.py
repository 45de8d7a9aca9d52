"""How a training goes: its settings, its learning rates, and what it holds out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from vitviz.errors import VitvizError

__all__ = ["Plan", "hold_out", "learning_rates", "schedule", "steps_an_epoch"]


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    Attributes:
        steps: of the optimiser.
        warmup: how many of them the learning rate rises.
        rate: the highest learning rate, that of the head.
        layer_decay: the rate of each block, as a share of the next one's.
        blocks: how many of the last blocks are trained; 0 trains the head only, None the whole
            model.
        entropy: λ, how much the attention entropy of the class token counts in the loss.
        dropout: probability that a feature in front of the head is left out of a step.
        zero_head: start with a head of zeros, or with a random one.
        batch: photos a step.
        decay: AdamW's weight decay, of all that is neither bias nor norm.
        bfloat16: whether all but the head is computed in bfloat16; the weights stay in float32.
        seed: of the head, the batches and the dropout.
    """

    steps: int = 40
    warmup: int = 5
    rate: float = 1e-2
    layer_decay: float = 1.0
    blocks: int | None = 0
    entropy: float = 0.0
    dropout: float = 0.0
    zero_head: bool = True
    batch: int = 24
    decay: float = 0.01
    bfloat16: bool = False
    seed: int = 0


def schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: int) -> LRScheduler:
    """Linear warm-up, then half a cosine down to 0.

    In step s, from 0, each group's own rate is multiplied with (s + 1) / (w + 1) while s < w, and
    then with (1 + cos(π (s − w) / (S − w))) / 2. Loshchilov & Hutter 2016, arXiv 1608.03983; Goyal
    et al. 2017, arXiv 1706.02677.

    Raises:
        VitvizError: if there is no step left after the warm-up.
    """
    if not 0 <= warmup < steps:
        raise VitvizError(
            "warmup_too_long",
            "A warm-up of {warmup} steps does not fit into {steps} steps.",
            warmup=warmup,
            steps=steps,
        )
    cosine = CosineAnnealingLR(optimizer, steps - warmup)
    if warmup == 0:
        return cosine
    rise = LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rise, cosine], [warmup])


def learning_rates(rate: float, steps: int, warmup: int) -> list[float]:
    """The learning rate of every step, by running the schedule that a training uses."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], rate)
    plan = schedule(optimizer, steps, warmup)
    rates = []
    for _ in range(steps):
        rates.append(float(plan.get_last_lr()[0]))
        optimizer.step()
        plan.step()
    return rates


def steps_an_epoch(photos: int, batch: int) -> int:
    """Steps in which each photo is seen once."""
    return math.ceil(photos / batch)


def hold_out(
    counts: Sequence[int], least: int = 3, share: float = 0.0, seed: int | None = None
) -> tuple[list[int], list[int]]:
    """Which photos train and which are held out, of every class the same share.

    Args:
        counts: photos of each class; they lie one class behind the other.
        least: photos that each class must have.
        share: of each class's photos that is held out, rounded; but one at least, and not all.
        seed: draws them; None takes the last ones of each class.

    Returns:
        Indices of the training photos and of those held out.

    Raises:
        VitvizError: if there is one class only, or a class has too few photos.
    """
    if len(counts) < 2:
        raise VitvizError("one_class", "There is only one class; a classifier needs at least two.")
    if min(counts) < least:
        raise VitvizError(
            "too_few_photos",
            "A class has {count} photos; each needs at least {least}.",
            count=min(counts),
            least=least,
        )
    generator = None if seed is None else np.random.default_rng(seed)
    held_out: set[int] = set()
    for count, end in zip(counts, np.cumsum(counts).tolist(), strict=True):
        order = np.arange(count) if generator is None else generator.permutation(count)
        number = min(max(1, round(share * count)), count - 1)
        held_out.update((end - count + order[-number:]).tolist())
    return [index for index in range(sum(counts)) if index not in held_out], sorted(held_out)
