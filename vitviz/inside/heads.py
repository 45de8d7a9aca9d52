"""What each head does: how far and how widely it looks, and what the model loses without it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.errors import Phrase
from vitviz.interventions.ablation import switch_off
from vitviz.interventions.addresses import Head, by_layer, chosen_heads
from vitviz.methods.target import Target, target_class
from vitviz.progress import Progress, batches, part_of
from vitviz.recording.predictions import Prediction, rank_classes
from vitviz.recording.query import ROWS_AT_ONCE
from vitviz.recording.recording import Recording

__all__ = [
    "HeadStatistics",
    "Importance",
    "ablate",
    "head_importance",
    "head_statistics",
    "layer_importance",
    "mean_statistics",
    "uniform_distance",
]

ABLATION = Phrase("ablation", "ablation")
IMPORTANCE = Phrase("importance", "the importance of heads")


@dataclass(frozen=True, eq=False)
class HeadStatistics:
    """Of each head the mean over all patches that look: float32 (layers, heads).

    A layer with fewer heads than others is filled with NaN.

    Attributes:
        distance: attention-weighted distance between the patch that looks and those it looks at, in
            pixels of the model's input; prefix tokens have no place and are left out.
            Dosovitskiy et al. 2021, arXiv 2010.11929, figure 7.
        entropy: of the attention over all tokens, in nats: 0 for one token, log(tokens) for all
            alike.
        to_prefix: share of the attention that goes to class, distillation and register tokens.
        to_self: share that a patch gives itself.
    """

    distance: NDArray[np.float32]
    entropy: NDArray[np.float32]
    to_prefix: NDArray[np.float32]
    to_self: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Importance:
    """How much less probable a class is without a head, (layers, heads), or without any head of a
    layer, (layers,); how much lower where it is a score. Negative where it becomes more probable.
    NaN where there is no such head."""

    heads: NDArray[np.float32]
    layers: NDArray[np.float32]


def head_statistics(rec: Recording) -> HeadStatistics:
    """How far and how widely every head looks. A map exists a few rows at a time.

    Raises:
        MethodError: if the model has no one map over all tokens in each layer.

    Examples:
        >>> head_statistics(rec).distance.shape  # (layers, heads), in pixels
        (12, 6)
    """
    rec.require_plain(Phrase("head_statistics", "head statistics"))
    places = _places(rec)
    layers = [_layer_statistics(rec, layer, places) for layer in range(rec.num_layers)]
    most = max(statistics.shape[1] for statistics in layers)
    padded = [
        np.pad(s.numpy(), ((0, 0), (0, most - s.shape[1])), constant_values=np.nan) for s in layers
    ]
    return HeadStatistics(*np.stack(padded, axis=1))


def mean_statistics(found: Sequence[HeadStatistics]) -> HeadStatistics:
    """Each head's mean over several photos.

    Examples:
        >>> recs = [rec, vitviz.record(vit, photo.rotate(90))]
        >>> mean_statistics([head_statistics(each) for each in recs]).entropy.shape
        (12, 6)
    """
    names = [field.name for field in fields(HeadStatistics)]
    means = {name: np.mean([getattr(s, name) for s in found], axis=0) for name in names}
    return HeadStatistics(**means)


def uniform_distance(rec: Recording) -> float:
    """The attention distance of a head that looks at all patches alike, in pixels: what
    `HeadStatistics.distance` is to be compared with. A square of side a has about 0.52 a.

    Examples:
        >>> round(uniform_distance(rec), 1)
        116.6
    """
    places = _places(rec)
    return float(torch.cdist(places, places).mean())


def _places(rec: Recording) -> Tensor:
    """Centres of the patches in pixels of the model's input: (patches, 2)."""
    sides = [
        side / count * (torch.arange(count, dtype=torch.float32) + 0.5)
        for side, count in zip(rec.pixels.shape[1:], rec.grid, strict=True)
    ]
    return torch.cartesian_prod(*sides)


def _layer_statistics(rec: Recording, layer: int, places: Tensor) -> Tensor:
    """Distance, entropy, share to prefix and to self of a layer's heads: (4, heads)."""
    prefix, patches = rec.num_prefix_tokens, len(places)
    total = torch.zeros(4, rec.num_heads(layer), dtype=torch.float64)
    for start in range(0, patches, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, patches)
        looks = rec.attention_rows(layer, slice(prefix + start, prefix + stop))
        at_patches = looks[..., prefix:]  # (heads, rows, patches)
        placed = at_patches.sum(dim=-1)
        far = torch.cdist(places[start:stop], places)
        least = torch.finfo(placed.dtype).tiny
        distance = (at_patches * far).sum(dim=-1) / placed.clamp(min=least)
        to_self = at_patches.diagonal(start, dim1=1, dim2=2)
        entropy = torch.special.entr(looks).sum(dim=-1)
        parts = torch.stack([distance, entropy, looks[..., :prefix].sum(dim=-1), to_self])
        total += parts.sum(dim=-1, dtype=torch.float64)
    return (total / patches).float()


def ablate(rec: Recording, heads: Collection[Head]) -> list[Prediction]:
    """What the model predicts with some heads switched off: every class, most probable first.

    Such a head adds nothing: its attention @ values is zero, before the heads are joined. The
    shared model stays as it is; only this call goes without them. Michel, Levy & Neubig 2019,
    arXiv 1905.10650.

    Args:
        rec: from `record`.
        heads: as (layer, head).

    Raises:
        VitvizError: if the model has no such head.
        MethodError: if the model has no classifier, or is not in float32.

    Examples:
        >>> ablate(rec, [(11, 0)])[0].label
        'Egyptian cat'
    """
    rec.require_plain(ABLATION)
    target_class(rec, None, ABLATION)
    return rank_classes(rec.vit, rec.reading, _without(rec, [heads])[0])


def head_importance(
    rec: Recording, target: Target | None = None, *, progress: Progress | None = None
) -> Importance:
    """The drop of a class's probability without each head and without each layer's heads.

    Args:
        rec: from `record`.
        target: class index or name; None is the top prediction.
        progress: called with the finished share after every few forward passes; whatever it
            raises ends the computation and is passed on.

    Raises:
        MethodError: if the model has no classifier, is not in float32, or has no such class.

    Examples:
        >>> head_importance(rec).heads.shape  # (layers, heads)
        (12, 6)
    """
    layers = range(rec.num_layers)
    found = [
        layer_importance(rec, layer, target, progress=part_of(progress, layer, 1, rec.num_layers))
        for layer in layers
    ]
    heads = np.full((len(layers), max(map(rec.num_heads, layers))), np.nan, np.float32)
    for row, (drops, _) in zip(heads, found, strict=True):
        row[: len(drops)] = drops
    return Importance(heads, np.array([whole for _, whole in found], np.float32))


def layer_importance(
    rec: Recording, layer: int, target: Target | None = None, *, progress: Progress | None = None
) -> tuple[NDArray[np.float32], float]:
    """The same of one layer: the drop without each of its heads, (heads,), and without them all.

    Raises:
        MethodError: as `head_importance`.

    Examples:
        >>> drops, whole = layer_importance(rec, 11)
        >>> drops.shape, round(whole, 1)
        ((6,), 0.2)
    """
    rec.require_plain(IMPORTANCE)
    index = target_class(rec, target, IMPORTANCE)
    heads = [(layer, head) for head in range(rec.num_heads(layer))]
    cases = [*([head] for head in heads), heads]
    left = torch.cat(
        [
            rec.values(_without(rec, cases[part]))[:, index]
            for part in batches(len(cases), rec.num_tokens, progress or (lambda _: None))
        ]
    )
    drops = (rec.values(rec.logits)[index] - left).numpy()
    return drops[:-1], float(drops[-1])


@torch.no_grad()
def _without(rec: Recording, cases: Sequence[Collection[Head]]) -> Tensor:
    """Logits with the heads of each case switched off: (cases, classes)."""
    off: dict[int, Tensor] = {}
    for number, heads in enumerate(cases):
        for layer, chosen in by_layer(rec, heads).items():
            none = torch.zeros(len(cases), rec.num_heads(layer), 1, 1, dtype=torch.bool)
            off.setdefault(layer, none)[number] = chosen_heads(rec, layer, chosen)
    changes = [switch_off(rec.layers[layer].module, heads) for layer, heads in off.items()]
    pixels = rec.pixels.expand(len(cases), -1, -1, -1)
    with rec.recorder(changes=changes):
        return rec.vit.run(pixels)
