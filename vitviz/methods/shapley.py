"""Shapley values: what each square of patches adds, averaged over the orders they may appear in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.interventions.masking import grey, read_masked
from vitviz.methods.cells import cells_of
from vitviz.methods.gradients import Score
from vitviz.methods.method import CLASSIFIERS, Estimate, Method, WholeOption
from vitviz.progress import Progress
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "draw_orders", "gains", "shapley"]


def shapley(
    rec: Recording, score: Score, *, pairs: int, side: int, seed: int, progress: Progress
) -> Estimate:
    """Shapley values of squares of `side` × `side` patches, shared out among their patches alike:
    (tokens,), 0 where they are negative.

    φ_i is what square i adds to the class's probability (of a label that others do not exclude its
    own, of a regression the score) where it turns from the model's mean colour to what it shows,
    averaged over orders in which the squares appear. With their signs, all φ sum to the difference
    between the photo and plain colour, whatever is drawn. Shapley 1953; Castro, Gómez & Tejada
    2009, "Polynomial calculation of the Shapley value based on sampling"; for patches Covert, Kim &
    Lee 2023, arXiv 2206.05282. Orders come in pairs, each with its reverse: for squares that act
    alone or two at a time, one pair is exact (Mitchell et al. 2022, arXiv 2104.12199). The standard
    error is that of the mean over pairs.

    Args:
        rec: from `record`.
        score: its `target` is the class.
        pairs: of orders; each takes at most two forward passes a square.
        side: of a square in patches, as in `occlusion`.
        seed: of the orders, from 0.
        progress: called with the finished share after every few forward passes; what it raises ends
            the computation.

    Examples:
        >>> score, quiet = Score(rec.predictions[0].index), lambda share: None
        >>> found = shapley(rec, score, pairs=2, side=8, seed=0, progress=quiet)
        >>> found.values.shape, found.errors.shape
        (torch.Size([257]), torch.Size([257]))
    """
    cells = cells_of(rec, side)
    size = cells.flatten().bincount()
    orders = draw_orders(len(size), pairs, seed)
    found = gains(rec, score, orders, cells, progress).unflatten(0, (pairs, 2)).mean(dim=1)
    share = found / size
    values, errors = share.mean(dim=0).clamp(min=0), share.std(dim=0) / pairs**0.5
    front = (rec.num_prefix_tokens, 0)
    return Estimate(*(F.pad(each[cells.flatten()], front) for each in (values, errors)))


def draw_orders(players: int, pairs: int, seed: int) -> Tensor:
    """Orders of so many players, each followed by its reverse: (2 · pairs, players)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.stack([torch.randperm(players, generator=generator) for _ in range(pairs)])
    return torch.stack([drawn, drawn.flip(-1)], dim=1).flatten(0, 1)


def gains(
    rec: Recording, score: Score, orders: Tensor, cells: Tensor, progress: Progress
) -> Tensor:
    """What each cell adds when it appears in each of these orders: (orders, cells).

    What several orders show alike is run once.
    """
    places = orders.argsort(dim=-1)  # of each cell in each order
    players = orders.shape[-1]
    shown = places[:, None] < torch.arange(players + 1)[:, None]  # (orders, steps + 1, cells)
    different, which = shown.flatten(0, 1).unique(dim=0, return_inverse=True)

    def value(logits: Tensor) -> Tensor:
        return rec.values(logits)[..., score.target]

    read = read_masked(rec, ~different[:, cells], grey(rec), value, progress)
    return read[which].view(-1, players + 1).diff(dim=-1).gather(-1, places)


METHOD = Method(
    "shapley",
    15,
    "Shapley values",
    "What does each part of the photo add to this class’s probability, beside any others?",
    shapley,
    "Castro, Gómez & Tejada 2009; Covert, Kim & Lee 2023, arXiv 2206.05282",
    {
        "pairs": WholeOption("Pairs", 8, 2, 500),
        "side": WholeOption("Side of a square", 4, 1, 8),
        "seed": WholeOption("Seed", 0, 0, 9999),
    },
    class_specific=True,
    has_query=False,
    slow=True,
    quick={"pairs": 2, "side": 8},
    applies_to=CLASSIFIERS,
    plain_only=False,
)
