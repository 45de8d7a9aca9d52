"""One recorded forward pass, and the exact attention maps derived from it.

A recording keeps queries, keys and values: O(tokens × width). Maps are computed on demand and
row by row, so a clicked patch costs one row and nothing ever holds all layers × heads maps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, cast, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from vitviz.arguments import checked
from vitviz.errors import MethodError, Phrase, VitvizError
from vitviz.heatmap import Box, Fingerprint
from vitviz.memo import Memo
from vitviz.models.outputs import Meaning, Outputs, written
from vitviz.models.vit import Vit
from vitviz.models.weights import tensor_hash
from vitviz.recording.changes import Change, Scaling
from vitviz.recording.layout import Call, Kind, Layout
from vitviz.recording.predictions import Prediction, rank_classes
from vitviz.recording.query import (
    Query,
    as_query,
    check_layer,
    check_patch,
    is_cls,
    is_place,
    sum_rows,
)
from vitviz.recording.recorder import Recorder

__all__ = ["AS_IT_IS", "Edit", "Edited", "Recording"]

CLASSES = Outputs("softmax")


@runtime_checkable
class Edit(Protocol):
    """Something that is done to the model in one forward pass, such as `ablate_heads([(3, 1)])`;
    as text it says what."""

    def changes(self, rec: Recording) -> Sequence[Change]:
        """What it does in the model of a recording.

        Args:
            rec: of the same input, without this edit.

        Raises:
            VitvizError: if it does not apply there.
        """


@dataclass(frozen=True, eq=False)
class Edited:
    """What was done to the model, in this order, and what that is in this model."""

    edits: tuple[Edit, ...] = ()
    changes: tuple[Change, ...] = ()

    def factor(self, module: str) -> float:
        """How many times what a submodule gives is counted."""
        of_module = (one for one in self.changes if isinstance(one, Scaling))
        return math.prod(one.factor for one in of_module if one.module == module)


AS_IT_IS = Edited()


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """What one forward pass on one photo computed.

    A plain ViT has one map over all tokens in each layer. In other models layers differ: they have
    grids of their own, and tokens look at a part of them, see `Layout`.

    Attributes:
        vit: the model, shared and unchanged.
        pixels: the model's input, (3, height, width), normalised, as the transform made it.
        logits: what the model gave, (classes,) in its own float type; empty where that is an
            embedding.
        layers: the self-attention call of each layer.
        pool: the attention-pooling head's call, where the model has one.
        grid: (rows, cols) of the patches, the finest of all layers.
        num_prefix_tokens: class, distillation and register tokens in front of the patches.
        has_class_token: whether the first of them is a class token.
        box: the part of the photo that the grid covers, in its pixels.
        seconds: how long the forward pass took.
        norms: length of each token's vector after the last block, (tokens,); None where the model
            does not say which its blocks are.
        layouts: where each layer's queries and keys lie; empty for a plain ViT.
        left_out: modules whose attention is not shown, since it is no map from token to token or
            where its tokens lie could not be told.
        is_chain: whether each layer reads what the one before wrote; two models side by side, whose
            numbers are added, do not.
        photo: the photo itself, RGB and not a copy; None where the input was no photo.
        fingerprint: what tells the photo from another one; None without a photo.
        reading: how its numbers are read, see `outputs` and `values`.
        edited: what was done to the model, see `edits`.
        derived: what was computed from this recording and may be asked for again.

    Examples:
        >>> rec
        <Recording of vit_small_patch14_in1k: 12 layers, 16 × 16 patches, Egyptian cat 78.9%>
        >>> rec.photo.size
        (451, 300)
        >>> rec.attention(6).shape  # layer 6: (heads, tokens, tokens)
        torch.Size([6, 257, 257])
        >>> row = rec.attention_row(6, (3, 4))  # where one patch looks: (heads, tokens)
        >>> rec.patches(row).shape
        torch.Size([6, 16, 16])
    """

    vit: Vit
    pixels: Tensor
    logits: Tensor
    layers: tuple[Call, ...]
    pool: Call | None
    grid: tuple[int, int]
    num_prefix_tokens: int
    has_class_token: bool
    box: Box
    seconds: float
    norms: Tensor | None = None
    layouts: tuple[Layout, ...] = ()
    left_out: tuple[str, ...] = ()
    is_chain: bool = True
    photo: Image.Image | None = None
    fingerprint: Fingerprint | None = None
    reading: Outputs = CLASSES
    edited: Edited = AS_IT_IS
    derived: Memo = field(default_factory=Memo, init=False)

    def __repr__(self) -> str:
        (rows, cols), said = self.grid, "no classes"
        if best := next(iter(self.predictions), None):
            said = f"{best.label} {written(best.value, self.outputs)}"
        return (
            f"<Recording of {self.vit.name}: {self.num_layers} layers, {rows} × {cols} patches, "
            f"{said}>"
        )

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What was done to the model, in this order; empty for the model as it is."""
        return self.edited.edits

    def recorder(
        self, watch: Collection[str] = (), changes: Sequence[Change] = (), *, trace: bool = False
    ) -> Recorder:
        """Who watches the model run once more, with this recording's edits.

        Args:
            watch: names of submodules whose inputs and outputs are kept.
            changes: what is done after the edits.
            trace: whether what each attention call may have been made from is kept.

        Examples:
            >>> with torch.no_grad(), rec.recorder() as recorder:
            ...     logits = rec.vit.run(rec.pixels[None])
            >>> len(recorder.calls)
            12
        """
        changes = (*self.edited.changes, *changes)
        return Recorder(self.vit.running, watch, trace, changes)

    def run(self, pixels: Tensor) -> Tensor:
        """What the model gives for other inputs, with this recording's edits: pixels (batch,
        channels, height, width) → (batch, classes).

        Raises:
            ModelError: if the model fails on such an input.

        Examples:
            >>> with torch.no_grad():
            ...     again = rec.run(rec.pixels[None])[0]
            >>> bool(torch.equal(again, rec.logits))
            True
        """
        if not self.edits:  # keep nothing of it
            return self.vit.run(pixels)
        with self.recorder():
            return self.vit.run(pixels)

    @property
    def patch_size(self) -> tuple[int, int]:
        """(height, width) of a patch in pixels of the model's input.

        The input may hold a few more pixels than the patches, which the model never sees, or fewer,
        where the model pads it.
        """
        height, width = self.pixels.shape[-2:]
        return self.vit.anatomy.patch_size((height, width), self.grid)

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def num_tokens(self) -> int:
        return self.num_prefix_tokens + self.grid[0] * self.grid[1]

    @property
    def is_plain(self) -> bool:
        """Whether each layer has one map over all tokens and follows on the one before, as in a
        plain ViT."""
        return self.is_chain and not self.layouts and not self.left_out

    def num_heads(self, layer: int) -> int:
        """Heads of a layer.

        Raises:
            VitvizError: if there is no such layer.

        Examples:
            >>> rec.num_heads(6)
            6
        """
        return self._layer(layer).shape[1]

    def layer_grid(self, layer: int) -> tuple[int, int]:
        """(rows, cols) of the patches that a layer reads.

        Raises:
            VitvizError: if there is no such layer.

        Examples:
            >>> rec.layer_grid(6)
            (16, 16)
        """
        self._layer(layer)
        return self.layouts[layer].grid if self.layouts else self.grid

    def kind(self, layer: int) -> Kind:
        """How a layer looks: “global”, every token at every token; “windowed”, at those of its
        window; “pooled keys”, at keys that several tokens share; “class attention”, the class token
        alone; “channel”, channels at channels.

        Raises:
            VitvizError: if there is no such layer.

        Examples:
            >>> rec.kind(6)
            'global'
        """
        self._layer(layer)
        return self.layouts[layer].kind if self.layouts else "global"

    @cached_property
    def predictions(self) -> list[Prediction]:
        """Every class, most probable first; scores in the model's own order; empty where the
        outputs are an embedding."""
        return rank_classes(self.vit, self.reading, self.logits)

    @property
    def outputs(self) -> Meaning:
        """What the model's numbers mean: “softmax” (one class is right), “sigmoid” (each label may
        apply), “score” (numbers of their own kind) or “embedding” (no classes at all)."""
        return self.reading.meaning

    @checked
    def values(self, logits: Tensor) -> Tensor:
        """What is measured of numbers (…, classes) that the model gave: probabilities, each label's
        own where labels do not exclude each other, or the scores as they are.

        Raises:
            VitvizError: if this is no tensor.

        Examples:
            >>> round(float(rec.values(rec.logits).sum()), 3)
            1.0
        """
        return self.reading.values(logits)

    @cached_property
    def input_hash(self) -> str:
        """SHA-256 of the model's input, as 64 hexadecimal digits."""
        return tensor_hash([("pixels", self.pixels)])

    @cached_property
    def core_pixels(self) -> Tensor:
        """What the part of the model that is a Vision Transformer was given, (1, channels, height,
        width) in its float type: the model may normalise or resize its input by itself. One more
        forward pass where it may."""
        pixels = self.pixels[None].to(self.vit.anatomy.float_type)
        if not (core := self.vit.anatomy.core_name):
            return pixels
        with torch.no_grad(), Recorder(self.vit.running, watch=[core]) as recorder:
            self.vit.run(pixels)
        given = recorder.inputs.get(core)
        return given if isinstance(given, Tensor) else pixels

    def attention(self, layer: int) -> Tensor:
        """Post-softmax attention of a layer, float32 (heads, tokens, tokens); rows sum to 1.

        Outside a token's window it is 0, and a key that tokens share is shared out among them. A
        channel layer's is (heads, channels, channels).

        Raises:
            VitvizError: if there is no such layer.

        Examples:
            >>> rec.attention(6).shape
            torch.Size([6, 257, 257])
        """
        return self.attention_rows(layer, slice(None))

    @checked
    def attention_rows(self, layer: int, rows: slice) -> Tensor:
        """The same for some query tokens only, (heads, rows, tokens).

        Raises:
            VitvizError: if there is no such layer.

        Examples:
            >>> rec.attention_rows(6, slice(0, 2)).shape  # the class token's row and one patch's
            torch.Size([6, 2, 257])
        """
        call = self._layer(layer)
        if self.kind(layer) in ("global", "channel"):
            return call.rows(rows)[0]
        return self.layouts[layer].rows(call, rows)

    def attention_row(self, layer: int, query: Query = "cls") -> Tensor:
        """Where one token looks: (heads, tokens). O(tokens); the full map is never built.

        In a model without a class token, "cls" is the average over the patches that
        `query_weights` describes. A patch is one of `grid`; in a layer with a coarser grid it is
        the one that contains it.

        Raises:
            VitvizError: if there is no such layer or patch, or the patch does not look in this
                layer.

        Examples:
            >>> rec.attention_row(6, (3, 4)).shape
            torch.Size([6, 257])
        """
        call, query = self._layer(layer), as_query(query)
        if not self.layouts:
            if (token := self._one_token(query)) is not None:
                return call.rows(slice(token, token + 1))[0, :, 0].clone()
            return sum_rows(self.query_weights(query), lambda rows: call.rows(rows)[0])
        return self.layouts[layer].spread(call, self.layer_weights(layer, query))

    def looks(self, layer: int, query: Query) -> bool:
        """Whether a query's token looks at others in a layer.

        Raises:
            VitvizError: if there is no such layer or patch.

        Examples:
            >>> rec.looks(6, "cls")
            True
        """
        try:
            if self.layouts:
                self.layer_weights(layer, query)
        except MethodError:
            return False
        return True

    def layer_weights(self, layer: int, query: Query) -> Tensor:
        """`query_weights` among the tokens of a layer that may have its own: (tokens,), sums to 1.
        A patch is one of `grid`, and "cls", where the layer has no class token, all patches that
        look alike.

        Raises:
            VitvizError: if there is no such layer or patch, or the patch does not look in this
                layer.

        Examples:
            >>> rec.layer_weights(6, (3, 4)).shape
            torch.Size([257])
        """
        self._layer(layer)
        query = as_query(query)
        if not self.layouts:
            return self.query_weights(query)
        layout, has_own = self.layouts[layer], self.has_class_token
        if layout.kind == "channel":
            raise MethodError(
                "channel_attention",
                "In layer {layer} of {model} channels look at channels, not patches at "
                "patches; choose another layer.",
                layer=layer,
                model=self.vit.name,
            )
        weights = torch.zeros(len(layout.queries), dtype=torch.float32)
        if is_cls(query) and layout.prefix and has_own:
            weights[0] = 1.0
        elif is_cls(query):
            looking = layout.queries >= 0
            looking[: layout.prefix] = False
            weights[looking] = 1.0 / int(looking.sum())
        else:
            row, col = self.cell(query, layout.grid)  # type: ignore[arg-type]
            weights[layout.prefix + row * layout.grid[1] + col] = 1.0
        if (layout.queries[weights > 0] < 0).all():
            raise MethodError(
                "token_sees_none",
                "In layer {layer} of {model} this token does not look at others; choose “cls” "
                "or another layer.",
                layer=layer,
                model=self.vit.name,
            )
        return weights

    def cell(self, query: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
        """Which patch of a layer's coarser grid contains a patch of `grid`, as (row, col).

        Raises:
            VitvizError: if the patch is outside `grid`.

        Examples:
            >>> rec.cell((5, 15), (8, 8))
            (2, 7)
        """
        self.token(query)  # is it a patch?
        return query[0] * grid[0] // self.grid[0], query[1] * grid[1] // self.grid[1]

    @checked
    def patch_in(self, cell: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
        """The patch of `grid` in the middle of a patch of a layer's coarser grid, as (row, col).

        Raises:
            VitvizError: if the patch is outside the coarser grid.

        Examples:
            >>> rec.patch_in((2, 7), (8, 8))
            (5, 15)
        """
        check_patch(cell, grid)
        row, col = (
            (2 * place + 1) * fine // (2 * coarse)
            for place, fine, coarse in zip(cell, self.grid, grid, strict=True)
        )
        return row, col

    def query_weights(self, query: Query) -> Tensor:
        """How much each token's row counts for a query: (tokens,), sums to 1.

        One token has all the weight, except for "cls" in a model without a class token: there it
        is what the classifier reads, the attention-pooling head's weights (mean of its heads) or
        all patches alike.

        Raises:
            VitvizError: if the patch is outside the grid.

        Examples:
            >>> weights = rec.query_weights((3, 4))
            >>> weights.shape, int(weights.argmax())  # 1 + 3 · 16 + 4
            (torch.Size([257]), 53)
        """
        query = as_query(query)
        weights = torch.zeros(self.num_tokens, dtype=torch.float32)
        if (token := self._one_token(query)) is not None:
            weights[token] = 1.0
        elif self.pool is not None:
            pooled = self.pool.rows(slice(None))[0].mean(dim=(0, 1))
            weights[-len(pooled) :] = pooled  # the head may leave out the prefix tokens
        else:
            weights[self.num_prefix_tokens :] = 1.0 / (self.grid[0] * self.grid[1])
        return weights

    def _one_token(self, query: Query) -> int | None:
        """Which token a query is; None for the average over several."""
        if is_cls(query):
            return 0 if self.has_class_token else None
        return self.token(cast(tuple[int, int], query))

    def token(self, patch: tuple[int, int]) -> int:
        """Which of the tokens a patch, (row, col), is: its row and column of an attention map.

        Raises:
            VitvizError: if the patch is outside the grid.

        Examples:
            >>> rec.token((3, 4))  # 1 + 3 · 16 + 4
            53
        """
        place, (rows, cols) = as_query(patch), self.grid
        if not (
            isinstance(place, tuple)
            and len(place) == 2
            and all(map(is_place, place))
            and 0 <= place[0] < rows
            and 0 <= place[1] < cols
        ):
            raise VitvizError(
                "query_not_a_patch",
                "The query {query!r} is not a patch; use “cls” or a row from 0 to {last_row} "
                "and a column from 0 to {last_col}.",
                query=place,
                last_row=rows - 1,
                last_col=cols - 1,
            )
        return self.num_prefix_tokens + place[0] * cols + place[1]

    def score_weights(self, query: Query) -> Tensor:
        """`query_weights`, except that "cls" is what the classifier reads: (tokens,), sums to 1.

        The two differ in a model that has a class token and yet classifies the average of its
        patches (BEiT, fine-tuned MAE): its class token's last row has no say in any class.

        Raises:
            VitvizError: if the patch is outside the grid.

        Examples:
            >>> int(rec.score_weights("cls").argmax())  # the bundled model reads its class token
            0
        """
        if not is_cls(query) or self.vit.anatomy.pooling != "avg":
            return self.query_weights(query)
        weights = torch.zeros(self.num_tokens, dtype=torch.float32)
        weights[self.num_prefix_tokens :] = 1.0 / (self.grid[0] * self.grid[1])
        return weights

    @checked
    def patches(self, tokens: Tensor, layer: int | None = None) -> Tensor:
        """Values of all tokens (…, tokens) → those of the patches in place (…, rows, cols).

        Args:
            tokens: of the model, or of a layer.
            layer: whose tokens they are, where layers differ.

        Raises:
            VitvizError: if these are not as many values as there are tokens, or there is no such
                layer.

        Examples:
            >>> rec.patches(rec.attention_row(6)).shape
            torch.Size([6, 16, 16])
        """
        prefix, grid = self.num_prefix_tokens, self.grid
        if layer is not None and self.layouts:
            self._layer(layer)
            prefix, grid = self.layouts[layer].prefix, self.layouts[layer].grid
        count = prefix + grid[0] * grid[1]
        if tokens.shape[-1:] != (count,):
            raise VitvizError(
                "not_all_tokens",
                "These are values {shape}, and there are {count} tokens; give a value for each of "
                "them in the last dimension.",
                shape=tuple(tokens.shape),
                count=count,
            )
        return tokens[..., prefix:].unflatten(-1, grid)

    def require_unedited(self, title: str | Phrase) -> None:
        """Nothing, if nothing was done to the model.

        Args:
            title: what needs that, for the sentence.

        Raises:
            MethodError: if the recording has edits.

        Examples:
            >>> rec.require_unedited("my own method")
        """
        if self.edits:
            raise MethodError(
                "recording_edited",
                "The recording has edits, and {title} computes with the parts of the model as they "
                "are; record the photo without edits.",
                title=title,
            )

    def require_plain(self, title: str | Phrase) -> None:
        """Nothing, if each layer has one map over all tokens and the layers follow each other.

        Args:
            title: what needs that, for the sentence.

        Raises:
            MethodError: if it cannot be.

        Examples:
            >>> rec.require_plain("my own method")
        """
        if not self.is_chain:
            raise MethodError(
                "no_chain",
                "The layers of {model} do not follow each other: one does not read what the one "
                "before wrote, as {title} needs it; use attention, which shows each layer by "
                "itself, or occlusion.",
                model=self.vit.name,
                title=title,
            )
        if not self.is_plain:
            raise MethodError(
                "no_one_map",
                "{model} does not have one map over all tokens in each layer, as {title} "
                "needs it; use attention, which shows each layer as it is, or occlusion.",
                model=self.vit.name,
                title=title,
            )

    def _layer(self, layer: int) -> Call:
        check_layer(layer, self.num_layers)
        return self.layers[layer]
