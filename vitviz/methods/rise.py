"""RISE: how probable a class is when a patch is seen, over many random halves of the photo."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.interventions.masking import grey, read_masked
from vitviz.methods.cells import unit
from vitviz.methods.gradients import Score
from vitviz.methods.method import CLASSIFIERS, Estimate, Method, WholeOption
from vitviz.progress import Progress
from vitviz.recording.recording import Recording

__all__ = ["METHOD", "draw_masks", "rise"]


def rise(
    rec: Recording, score: Score, *, pairs: int, side: int, seed: int, progress: Progress
) -> Estimate:
    """Mean probability of the class where a patch is shown, E[f(x ⊙ M) | M_i = 1]: (tokens,). Of a
    label that others do not exclude it is its own probability, of a regression the score.

    M shows each square of `side` × `side` patches with probability ½, on a grid shifted at random;
    the rest is the model's mean colour. Petsiuk, Das & Saenko 2018, arXiv 1806.07421, with two
    differences: edges of squares are not blurred, so that they are those of patches, and masks come
    in pairs, each with its opposite. Every patch is then shown once in each pair, and the mean over
    pairs estimates what the authors' sum does, with less noise and a known standard error.

    Args:
        rec: from `record`.
        score: its `target` is the class.
        pairs: of masks; two forward passes each.
        side: of a square in patches, as in `occlusion`.
        seed: of the masks, from 0.
        progress: called with the finished share after every few masks; what it raises ends the
            computation.

    Examples:
        >>> score, quiet = Score(rec.predictions[0].index), lambda share: None
        >>> found = rise(rec, score, pairs=2, side=4, seed=0, progress=quiet)
        >>> found.values.shape, found.errors.shape
        (torch.Size([257]), torch.Size([257]))
    """
    shown = draw_masks(rec.grid, pairs, side * unit(rec), seed)

    def value(logits: Tensor) -> Tensor:
        return rec.values(logits)[..., score.target]

    read = read_masked(rec, torch.cat([~shown, shown]), grey(rec), value, progress)
    first, second = read[:, None].split(pairs)  # (pairs, 1)
    seen = torch.where(shown.flatten(1), first, second)  # (pairs, patches)
    values, errors = seen.mean(dim=0).clamp(min=0), seen.std(dim=0) / pairs**0.5
    front = (rec.num_prefix_tokens, 0)
    return Estimate(F.pad(values, front), F.pad(errors, front))


def draw_masks(grid: tuple[int, int], pairs: int, side: int, seed: int) -> Tensor:
    """Which patches the first mask of each pair shows: boolean (pairs, rows, cols)."""
    generator = torch.Generator().manual_seed(seed)
    rows, cols = grid
    size = (pairs, rows // side + 2, cols // side + 2)
    coarse = torch.rand(size, generator=generator, dtype=torch.float32) < 0.5
    shifts = torch.randint(side, (pairs, 2), generator=generator)
    row, col = (
        (torch.arange(length) + shift[:, None]) // side
        for length, shift in zip(grid, shifts.T, strict=True)
    )
    return coarse[torch.arange(pairs)[:, None, None], row[:, :, None], col[:, None]]


METHOD = Method(
    "rise",
    14,
    "RISE",
    "How probable is this class when this patch is seen, whatever else is?",
    rise,
    "Petsiuk, Das & Saenko 2018, arXiv 1806.07421",
    {
        "pairs": WholeOption("Pairs", 100, 2, 2000),
        "side": WholeOption("Side of a square", 4, 1, 8),
        "seed": WholeOption("Seed", 0, 0, 9999),
    },
    class_specific=True,
    has_query=False,
    slow=True,
    quick={"pairs": 2},
    applies_to=CLASSIFIERS,
    plain_only=False,
)
