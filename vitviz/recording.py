"""One recorded forward pass, and the exact attention maps derived from it.

A recording keeps queries, keys and values: O(tokens × width). Maps are computed on demand and
row by row, so a clicked patch costs one row and nothing ever holds all layers × heads maps.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import Any, Literal, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from vitviz.errors import ImageError, ModelError, VitvizError
from vitviz.geometry import input_box
from vitviz.heatmap import Box
from vitviz.recorder import AttentionCall, Recorder, SoftmaxCall
from vitviz.zoo import Vit

__all__ = [
    "ROWS_AT_ONCE",
    "Memo",
    "Prediction",
    "Query",
    "Recording",
    "block_names",
    "float_type",
    "rank_classes",
    "record",
    "record_pixels",
    "sum_rows",
]

Query = Literal["cls"] | tuple[int, int]
"""The token that looks: "cls", or a patch as (row, column)."""

T = TypeVar("T")

ROWS_AT_ONCE = 64  # rows of a map held at a time: the working set stays near the cache


@dataclass(frozen=True)
class Prediction:
    """One class: its name, its index in the model's output, its softmax probability."""

    label: str
    index: int
    probability: float


class Memo:
    """The last few results derived from one recording, by key; they go when the recording goes.

    A result that several threads ask for at once is computed once: the others wait.
    """

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._results: dict[Hashable, Any] = {}  # the most recently used last
        self._lock = threading.RLock()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result kept under `key`, computed now if there is none."""
        with self._lock:
            result = self._results.pop(key) if key in self._results else compute()
            self._results[key] = result
            while len(self._results) > self._size:
                del self._results[next(iter(self._results))]
            return result


@dataclass(frozen=True, eq=False)
class Recording:
    """What one forward pass on one photo computed.

    Attributes:
        vit: the model, shared and unchanged.
        pixels: the model's input, (3, height, width), normalised, as the transform made it.
        logits: (classes,) in the model's own float type, empty without a classifier.
        layers: the self-attention call of each layer.
        pool: the attention-pooling head's call, where the model has one.
        grid: (rows, cols) of the patches.
        num_prefix_tokens: class, distillation and register tokens in front of the patches.
        has_class_token: whether the first of them is a class token.
        box: the part of the photo that the grid covers, in its pixels.
        seconds: how long the forward pass took.
        norms: length of each token's vector after the last block, (tokens,); None where the model
            does not say which its blocks are.
        derived: what was computed from this recording and may be asked for again.
    """

    vit: Vit
    pixels: Tensor
    logits: Tensor
    layers: tuple[AttentionCall | SoftmaxCall, ...]
    pool: AttentionCall | SoftmaxCall | None
    grid: tuple[int, int]
    num_prefix_tokens: int
    has_class_token: bool
    box: Box
    seconds: float
    norms: Tensor | None = None
    derived: Memo = field(default_factory=Memo, init=False, repr=False)

    @property
    def patch_size(self) -> tuple[int, int]:
        """(height, width) of a patch in pixels of the model's input.

        The input may hold a few more pixels than the patches, which the model never sees, or fewer,
        where the model pads it.
        """
        return _patch_size(self.vit, self.pixels, self.grid)

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def num_tokens(self) -> int:
        return self.num_prefix_tokens + self.grid[0] * self.grid[1]

    def num_heads(self, layer: int) -> int:
        """Heads of a layer."""
        return self._layer(layer).shape[1]

    @cached_property
    def predictions(self) -> list[Prediction]:
        """Every class, most probable first; empty for a model without a classifier."""
        return rank_classes(self.vit, self.logits)

    def attention(self, layer: int) -> Tensor:
        """Post-softmax attention of a layer, float32 (heads, tokens, tokens); rows sum to 1."""
        return self._layer(layer).rows(slice(None))[0]

    def attention_rows(self, layer: int, rows: slice) -> Tensor:
        """The same for some query tokens only, (heads, rows, tokens)."""
        return self._layer(layer).rows(rows)[0]

    def attention_row(self, layer: int, query: Query = "cls") -> Tensor:
        """Where one token looks: (heads, tokens). O(tokens); the full map is never built.

        In a model without a class token, "cls" is the average over the patches that
        `query_weights` describes.
        """
        return sum_rows(self.query_weights(query), lambda rows: self.attention_rows(layer, rows))

    def query_weights(self, query: Query) -> Tensor:
        """How much each token's row counts for a query: (tokens,), sums to 1.

        One token has all the weight, except for "cls" in a model without a class token: there it
        is what the classifier reads, the attention-pooling head's weights (mean of its heads) or
        all patches alike.

        Raises:
            VitvizError: if the patch is outside the grid.
        """
        rows, cols = self.grid
        weights = torch.zeros(self.num_tokens)
        if query == "cls":
            if self.has_class_token:
                weights[0] = 1.0
            elif self.pool is not None:
                pooled = self.pool.rows(slice(None))[0].mean(dim=(0, 1))
                weights[-len(pooled) :] = pooled  # the head may leave out the prefix tokens
            else:
                weights[self.num_prefix_tokens :] = 1.0 / (rows * cols)
            return weights
        if not (
            isinstance(query, tuple)
            and len(query) == 2
            and all(isinstance(i, Integral) for i in query)
            and 0 <= query[0] < rows
            and 0 <= query[1] < cols
        ):
            raise VitvizError(
                f"The query {query!r} is not a patch; use “cls” or a row from 0 to {rows - 1} "
                f"and a column from 0 to {cols - 1}."
            )
        weights[self.num_prefix_tokens + query[0] * cols + query[1]] = 1.0
        return weights

    def score_weights(self, query: Query) -> Tensor:
        """`query_weights`, except that "cls" is what the classifier reads: (tokens,), sums to 1.

        The two differ in a model that has a class token and yet classifies the average of its
        patches (BEiT, fine-tuned MAE): its class token's last row has no say in any class.
        """
        if query != "cls" or getattr(self.vit.module, "global_pool", None) != "avg":
            return self.query_weights(query)
        weights = torch.zeros(self.num_tokens)
        weights[self.num_prefix_tokens :] = 1.0 / (self.grid[0] * self.grid[1])
        return weights

    def patches(self, tokens: Tensor) -> Tensor:
        """Values of all tokens (…, tokens) → those of the patches in place (…, rows, cols)."""
        return tokens[..., self.num_prefix_tokens :].unflatten(-1, self.grid)

    def _layer(self, layer: int) -> AttentionCall | SoftmaxCall:
        if not -self.num_layers <= layer < self.num_layers:
            raise VitvizError(
                f"There is no layer {layer}; this model's layers are 0 to {self.num_layers - 1}."
            )
        return self.layers[layer]


def rank_classes(vit: Vit, logits: Tensor) -> list[Prediction]:
    """Logits (classes,) → every class, most probable first."""
    probabilities = logits.float().softmax(dim=-1)
    order = probabilities.argsort(descending=True, stable=True).tolist()
    labels = vit.labels
    return [
        Prediction(labels[i] if i < len(labels) else f"class {i}", i, float(probabilities[i]))
        for i in order
    ]


def sum_rows(weights: Tensor, rows_of: Callable[[slice], Tensor]) -> Tensor:
    """The weighted sum of a map's rows, Σᵢ wᵢ · rowᵢ, with few rows in memory at a time.

    Args:
        weights: (tokens,).
        rows_of: slice of query tokens → their rows (…, rows, tokens).

    Returns:
        (…, tokens). A single row with weight costs that row only.
    """
    used = weights.nonzero().flatten()
    if len(used) == 1:
        row = int(used)
        return rows_of(slice(row, row + 1))[..., 0, :] * weights[row]
    total: Tensor | None = None
    for start in range(0, len(weights), ROWS_AT_ONCE):
        chunk = slice(start, min(start + ROWS_AT_ONCE, len(weights)))
        part = weights[chunk] @ rows_of(chunk)
        total = part if total is None else total + part
    assert total is not None
    return total


def record(vit: Vit, photo: Image.Image) -> Recording:
    """Run the model once on a photo and keep what its attention was given.

    The model is shared between threads and left as it was, also after an error. It may be of any
    float type, such as bfloat16; it is given its own, and maps are computed in float32.

    Raises:
        ModelError: if the model's attention is not one map over all tokens in each layer, or if
            where its patches lie is not known.
        ImageError: if the photo is not RGB, as `load_image` makes it.
    """
    if photo.mode != "RGB":
        raise ImageError(f"The photo is {photo.mode}, not RGB; open it with vitviz.load_image.")
    pixels, box = vit.transform(photo), input_box(vit.transform, photo.size)
    rec = record_pixels(vit, pixels, box)
    return replace(rec, box=_covered(box, pixels, rec.grid, rec.patch_size))


def record_pixels(vit: Vit, pixels: Tensor, box: Box) -> Recording:
    """The same for an input of the model, (3, height, width), that is normalised already.

    Args:
        vit: the model.
        pixels: such as another recording's, changed.
        box: the part of the photo that their patches show.

    Raises:
        ModelError: as `record`.
    """
    last_block = block_names(vit.module)[-1:]
    with torch.no_grad(), Recorder(vit.module, watch=last_block) as recorder:
        start = time.perf_counter()
        logits = vit.module(pixels[None].to(float_type(vit.module)))[0]
        seconds = time.perf_counter() - start
    grid, prefix, has_class_token = _tokens(vit, pixels)
    layers, pool = _sort_calls(vit, recorder, prefix, prefix + grid[0] * grid[1])
    if getattr(vit.module, "num_classes", 1) == 0:
        logits = logits.new_empty(0)
    last = recorder.outputs.get("".join(last_block))
    norms = last[0].norm(dim=-1) if isinstance(last, Tensor) else None
    return Recording(
        vit, pixels, logits, layers, pool, grid, prefix, has_class_token, box, seconds, norms
    )


def block_names(module: nn.Module) -> list[str]:
    """Names of the model's blocks in order; none if it does not keep them as timm's ViTs do."""
    blocks = getattr(module, "blocks", None)
    if not isinstance(blocks, (nn.Sequential, nn.ModuleList)):
        return []
    return [f"blocks.{name}" for name, _ in blocks.named_children()]


def float_type(module: nn.Module) -> torch.dtype:
    """The float type of the module's weights."""
    types = (p.dtype for p in module.parameters() if p.is_floating_point())
    return next(types, torch.float32)


def _tokens(vit: Vit, pixels: Tensor) -> tuple[tuple[int, int], int, bool]:
    """Grid of the patches, number of prefix tokens, whether there is a class token."""
    module = vit.module
    prefix = getattr(module, "num_prefix_tokens", None)
    grid_of = getattr(getattr(module, "patch_embed", None), "dynamic_feat_size", None)
    if prefix is None or grid_of is None:
        raise ModelError(f"{vit.name} does not say where its patches are; it cannot be mapped.")
    rows, cols = grid_of(tuple(pixels.shape[-2:]))
    return (rows, cols), prefix, getattr(module, "cls_token", None) is not None


def _patch_size(vit: Vit, pixels: Tensor, grid: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a patch: the stride of the convolution that cuts the input, or, behind a
    stem of other layers, the input's share."""
    embed = getattr(vit.module, "patch_embed", None)
    cut = getattr(embed, "proj", None)
    if isinstance(cut, nn.Conv2d) and not hasattr(embed, "backbone"):
        height, width = cut.stride
        return height, width
    sides = (math.ceil(side / n) for side, n in zip(pixels.shape[-2:], grid, strict=True))
    return next(sides), next(sides)


def _covered(box: Box, pixels: Tensor, grid: tuple[int, int], patch: tuple[int, int]) -> Box:
    """The part of the photo under the patches, from the part under the whole input."""
    left, top, right, bottom = box
    height, width = pixels.shape[-2:]
    return (
        left,
        top,
        left + (right - left) * grid[1] * patch[1] / width,
        top + (bottom - top) * grid[0] * patch[0] / height,
    )


def _sort_calls(
    vit: Vit, recorder: Recorder, prefix: int, tokens: int
) -> tuple[tuple[AttentionCall | SoftmaxCall, ...], AttentionCall | SoftmaxCall | None]:
    """The layers' self-attention over all tokens, and the pooling head's call if there is one."""
    calls, all_or_patches = recorder.calls, (tokens, tokens - prefix)
    altered = any(
        len(shape) > 2 and shape[-1] in all_or_patches and shape[-2] in all_or_patches
        for shape in recorder.altered
    )
    layers = [call for call in calls if call.shape[0] == 1 and call.shape[2:] == (tokens, tokens)]
    others = [call for call in calls if call not in layers]
    pools = [c for c in others if c.shape[2] < tokens and c.shape[3] in all_or_patches]
    if (
        altered
        or not layers
        or len({call.module for call in layers}) < len(layers)
        or others != pools[:1]
    ):
        raise ModelError(
            f"The attention of {vit.name} is not one map over all tokens in each layer, so it "
            "cannot be shown here; choose a plain Vision Transformer (ViT, DeiT, DINO, BEiT, EVA)."
        )
    return tuple(layers), pools[0] if pools else None
