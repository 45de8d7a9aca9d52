"""What attention costs: operations counted, and time measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitviz.errors import ModelError
from vitviz.progress import Progress
from vitviz.recording.calls import AttentionCall
from vitviz.recording.record import record_pixels
from vitviz.recording.recording import Recording

__all__ = [
    "Looking",
    "Mixing",
    "Operations",
    "Timing",
    "attention_width",
    "block_operations",
    "block_weights",
    "fitted",
    "forward_operations",
    "map_bytes",
    "measure_cost",
    "mixing_cost",
]

Looking = Literal["full", "windowed", "linear"]
"""Every token at every token; at those of its window; at sums over all keys, see
`linear_attention`."""

FLOAT = 4  # bytes
PASSES = 3  # of each size; what else the machine does can only add to a time


@dataclass(frozen=True)
class Operations:
    """Multiplications of one block on one photo.

    Attributes:
        matrices: queries, keys, values, projection and MLP: they grow with the tokens.
        attention: the maps and the weighted sums: they grow with the square of the tokens.
    """

    matrices: int
    attention: int


@dataclass(frozen=True)
class Timing:
    """One measured forward pass.

    Attributes:
        side: of the input, in pixels.
        tokens: that it gave.
        seconds: that it took, at its quickest.
        recorded: bytes of the queries, keys and values of all layers.
    """

    side: int
    tokens: int
    seconds: float
    recorded: int


@dataclass(frozen=True)
class Mixing:
    """What it costs a layer to bring its tokens together, without the matrices.

    Attributes:
        operations: multiplications.
        memory: bytes of what lies between queries and result in float32, if it is kept whole.
    """

    operations: int
    memory: int


def attention_width(rec: Recording) -> int:
    """The numbers that a token has in all heads of the first layer together.

    Examples:
        >>> attention_width(rec)
        384
    """
    return rec.num_heads(0) * rec.layers[0].value.shape[-1]


def block_weights(rec: Recording) -> int:
    """Numbers in the matrices of the first block: every token is multiplied with each of them once.

    They are read from the model, so that a narrow, wide or gated MLP (SwiGLU) counts as it is.

    Raises:
        ModelError: if the model does not say which its blocks are.
    """
    if not rec.vit.anatomy.blocks:
        raise ModelError(
            "unknown_blocks",
            "{model} does not say which its blocks are; choose another model.",
            model=rec.vit.name,
        )
    block = rec.vit.anatomy.block(0)
    return sum(part.weight.numel() for part in block.modules() if isinstance(part, nn.Linear))


def block_operations(tokens: int, width: int, weights: int) -> Operations:
    """Multiplications in a Transformer block; both parts are equal at weights / (2 · width) tokens.

    Args:
        tokens: n.
        width: of the queries, keys and values of all heads together, w.
        weights: numbers in its matrices, m; 12 w² with an MLP four times as wide as the model.

    Returns:
        n m, and 2 n² w.
    """
    return Operations(tokens * weights, 2 * tokens**2 * width)


def forward_operations(counts: Iterable[int], width: int, weights: int) -> int:
    """Multiplications in all blocks, by how many tokens each is given. Where tokens become fewer
    inside a block, its MLP has less to do than is counted here.

    Args:
        counts: n of each block.
        width, weights: as `block_operations`.
    """
    found = (block_operations(n, width, weights) for n in counts)
    return sum(block.matrices + block.attention for block in found)


def map_bytes(tokens: int, heads: int, layers: int) -> int:
    """Bytes of all attention maps of all layers in float32, if they were all kept."""
    return layers * heads * tokens**2 * FLOAT


def mixing_cost(looking: Looking, tokens: int, width: int, heads: int, window: int) -> Mixing:
    """What one layer pays for n tokens of width w in h heads of width d = w / h.

    Args:
        looking: full, 2 n² w multiplications and maps of h n² weights; windowed, 2 n m w and h n m
            for windows of m tokens (Liu et al. 2021, arXiv 2103.14030); linear, 2 n d w and h d²
            sums (Katharopoulos et al. 2020, arXiv 2006.16236).
        tokens: n.
        width: w, of all heads together.
        heads: h.
        window: m; no more than all tokens.

    Examples:
        >>> mixing_cost("full", 257, 384, 6, 49).operations
        50725632
    """
    if looking == "linear":
        dim = width // heads
        return Mixing(2 * tokens * dim * width, heads * dim**2 * FLOAT)
    seen = tokens if looking == "full" else min(window, tokens)
    return Mixing(2 * tokens * seen * width, heads * tokens * seen * FLOAT)


def measure_cost(rec: Recording, sides: Sequence[int], progress: Progress) -> list[Timing]:
    """The model's forward pass on square inputs of several sizes, timed on this machine.

    The inputs are the photo's, resampled. All sizes are run in turn, again and again, so that what
    else the machine does for a while falls on all of them; of each the quickest pass counts.

    Args:
        rec: from `record`.
        sides: in pixels, multiples of the patch size.
        progress: called with the finished share after each pass.

    Raises:
        ModelError: if the model takes inputs of one size only.
    """
    if rec.vit.anatomy.any_size_patch is None:
        raise ModelError(
            "nothing_to_compare",
            "{model} takes inputs of one size only, so nothing can be compared.",
            model=rec.vit.name,
        )
    inputs = [
        torch.nn.functional.interpolate(
            rec.pixels[None], (side, side), mode="bilinear", antialias=True
        )[0]
        for side in sides
    ]
    quickest: dict[int, Timing] = {}
    runs = [*zip(sides, inputs, strict=True)] * PASSES
    for number, (side, pixels) in enumerate(runs, start=1):
        found = record_pixels(rec.vit, pixels, rec.box)
        timing = Timing(side, found.num_tokens, found.seconds, _recorded_bytes(found))
        quickest[side] = min(timing, quickest.get(side, timing), key=lambda one: one.seconds)
        progress(number / len(runs))
    return list(quickest.values())


def _recorded_bytes(rec: Recording) -> int:
    tensors = (
        tensor
        for call in rec.layers
        if isinstance(call, AttentionCall)
        for tensor in (call.query, call.key, call.value)
    )
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def fitted(tokens: Sequence[int], seconds: Sequence[float]) -> NDArray[np.float64]:
    """The curve a + b n + c n² nearest to the measured times, as [a, b, c], none below 0: no part
    of the work takes less than no time.

    Least squares of the error in shares of each time, so that short times count as much as long.
    Of the fits with some of the parts only, the best one without a negative factor is the best that
    there is.
    """
    n, times = np.asarray(tokens, float), np.asarray(seconds, float)
    parts = np.vander(n, 3, increasing=True) / times[:, None]
    best, least = np.zeros(3), math.inf
    for kept in map(list, itertools.product((False, True), repeat=3)):
        factors = np.zeros(3)
        factors[kept] = np.linalg.lstsq(parts[:, kept], np.ones(len(n)))[0]
        error = float(np.square(parts @ factors - 1).sum())
        if factors.min() >= 0 and error < least:
            best, least = factors, error
    return best
