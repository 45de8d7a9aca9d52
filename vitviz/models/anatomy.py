"""Where a Vision Transformer keeps what it is made of.

This and `libraries` are the places that know the names under which timm's models (checked with
timm 1.0.31), and those of other libraries, keep their parts. Everything else asks a model's
`Anatomy`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vitviz.models.core import core_of, float_type
from vitviz.models.libraries import (
    BLOCK_LISTS,
    Grid,
    Tokens,
    is_timms,
    of_transformers,
    tokens_of,
)
from vitviz.models.returned import Logits

__all__ = ["Anatomy"]

CLASS_TOKENS = ("cls", "class")  # how such a parameter's own name begins


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The parts of one model, found once when it is loaded.

    Attributes:
        module: the model.
        tokens: which of its tokens are patches; None where neither the model nor its owner says.
        core_name: the part of the model that is a Vision Transformer by itself, see `core_of`.
        core: that part, whose anatomy this is.
    """

    module: nn.Module
    tokens: Tokens | None = None

    def __post_init__(self) -> None:
        if self.tokens is None:
            object.__setattr__(self, "tokens", tokens_of(self.core))

    @cached_property
    def core_name(self) -> str:
        return core_of(self.module)

    @cached_property
    def core(self) -> nn.Module:
        return self.module.get_submodule(self.core_name)

    def _known(self, name: str, default: Any = None) -> Any:
        return getattr(self.core, name, default)

    @cached_property
    def _has_further_weights(self) -> bool:
        """Whether there are weights around the core, such as those of another head."""
        inside = {id(p) for p in self.core.parameters()}
        return any(id(p) not in inside for p in self.module.parameters())

    @cached_property
    def is_timms(self) -> bool:
        """Whether timm made the model, as a whole."""
        return is_timms(self.module)

    @property
    def float_type(self) -> torch.dtype:
        """The float type of the weights; the one thing that a model's owner may change later."""
        return float_type(self.module)

    # From pixels to tokens

    @property
    def patch_embed(self) -> nn.Module | None:
        """What cuts the input: pixels (batch, 3, height, width) → (batch, patches, width)."""
        return self._known("patch_embed")

    @property
    def patch_projection(self) -> nn.Conv2d | None:
        """The one convolution that turns each patch into a vector, if that is all there is."""
        layer = getattr(self.patch_embed, "proj", None)
        return layer if isinstance(layer, nn.Conv2d) else None

    def patch_size(self, size: Grid, grid: Grid) -> Grid:
        """(height, width) of a patch in pixels: the stride of the convolution that cuts the input,
        or, behind a stem of other layers or where the model resizes its input, the input's share.

        In a model of one's own that is the first convolution, if its patches do not overlap.

        Args:
            size: (height, width) of the input.
            grid: (rows, cols) of the patches.
        """
        if (cut := self._cut) is not None:
            height, width = cut.stride
            fits = (
                abs(side - n * step) < step
                for side, n, step in zip(size, grid, cut.stride, strict=True)
            )
            if all(fits):
                return height, width
        sides = (math.ceil(side / n) for side, n in zip(size, grid, strict=True))
        return next(sides), next(sides)

    @cached_property
    def _cut(self) -> nn.Conv2d | None:
        """The convolution that cuts the input into patches, unless a stem comes before it."""
        if self.patch_embed is not None:
            return None if hasattr(self.patch_embed, "backbone") else self.patch_projection
        first = next((m for m in self.core.modules() if isinstance(m, nn.Conv2d)), None)
        return first if first is not None and first.kernel_size == first.stride else None

    @property
    def input_size(self) -> Grid | None:
        """(height, width) in pixels of the input that the model was made for."""
        size: Grid | None = getattr(self.patch_embed, "img_size", None)
        return size

    @property
    def cut_patch(self) -> Grid | None:
        """(height, width) in pixels of the patches that the model says it cuts its input into."""
        if (patch := getattr(self.patch_embed, "patch_size", None)) is None:
            return None
        height, width = patch if isinstance(patch, (tuple, list)) else (patch, patch)
        return height, width

    @cached_property
    def any_size_patch(self) -> Grid | None:
        """(height, width) of the patches of a model that takes any number of them; None if its
        input has one size. timm's models are told so when they are made, with
        dynamic_img_size=True."""
        if not self._known("dynamic_img_size", False):
            return None
        return self.cut_patch

    @property
    def num_patches(self) -> int:
        """Patches of an input of the model's own size."""
        embed: Any = self.patch_embed
        return int(embed.num_patches)

    @property
    def num_prefix_tokens(self) -> int | None:
        """Tokens in front of the patches, as the model declares them; None if it does not."""
        return self._known("num_prefix_tokens")

    @cached_property
    def has_class_parameter(self) -> bool:
        """Whether a parameter is called a class token."""
        names = (name.rpartition(".")[2] for name, _ in self.module.named_parameters())
        return any(name.startswith(CLASS_TOKENS) for name in names)

    @property
    def class_token(self) -> Tensor | None:
        """The learned token that is put in front of the patches, (1, 1, width)."""
        return self._known("cls_token")

    @property
    def learned_positions(self) -> nn.Parameter | None:
        """A learned vector for each place, (1, places, width), that is added to its token; None
        where positions enter in another way."""
        learned = self._known("pos_embed")
        if not isinstance(learned, nn.Parameter) or learned.ndim != 3:
            return None
        if self._known("rope") is not None:
            return None
        return learned

    @property
    def positions_hold_prefix(self) -> bool:
        """Whether the learned positions begin with those of the prefix tokens."""
        return not self._known("no_embed_class", False)

    def with_positions(self, embedded: Tensor) -> Tensor:
        """Patch vectors → all tokens, with what the model adds for their places."""
        core: Any = self.core
        placed: Tensor = core._pos_embed(embedded)
        return placed

    # Blocks

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks in order; none if the model does not keep them in a known place."""
        theirs = of_transformers(self.core)
        for name, child in self.core.named_modules():
            listed = isinstance(child, (nn.Sequential, nn.ModuleList)) and name in BLOCK_LISTS
            if listed or (theirs and isinstance(child, nn.ModuleList)):
                inside = f"{self.core_name}.{name}".removeprefix(".")
                return tuple(f"{inside}.{block}" for block, _ in child.named_children())
        return ()

    def block(self, layer: int) -> nn.Module:
        """One of the blocks."""
        return self.module.get_submodule(self.blocks[layer])

    def attention_norm(self, layer: int) -> nn.LayerNorm | None:
        """The layer norm in front of a block's attention."""
        norm = getattr(self.block(layer), "norm1", None)
        return norm if isinstance(norm, nn.LayerNorm) else None

    def scaled(self, layer: int, part: str, added: Tensor) -> Tensor:
        """What a block adds of its part “attn” or “mlp”, after its layer scale if it has one."""
        scale = getattr(self.block(layer), {"attn": "ls1", "mlp": "ls2"}[part], None)
        result: Tensor = added if scale is None else scale(added)
        return result

    @cached_property
    def has_plain_blocks(self) -> bool:
        """Whether each block adds attention and then an MLP, each with a norm in front, as
        `attend` and `process` do."""
        blocks = [self.block(layer) for layer in range(len(self.blocks))]
        return bool(blocks) and all(type(block) is Block for block in blocks)

    def attend(self, layer: int, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (batch, tokens, width) with what a block's attention adds to them.

        Args:
            mask: as `scaled_dot_product_attention` takes it: True where a token may look, or
                numbers that are added to the scores.
        """
        block: Any = self.block(layer)
        return tokens + self.scaled(layer, "attn", block.attn(block.norm1(tokens), attn_mask=mask))

    def process(self, layer: int, tokens: Tensor) -> Tensor:
        """Tokens (batch, tokens, width) with what a block's MLP adds to them."""
        block: Any = self.block(layer)
        return tokens + self.scaled(layer, "mlp", block.mlp(block.norm2(tokens)))

    def hidden_width(self, layer: int) -> int | None:
        """Numbers of a token between the two matrices of a block's MLP; None if it is another."""
        mlp = getattr(self.block(layer), "mlp", None)
        first, second = getattr(mlp, "fc1", None), getattr(mlp, "fc2", None)
        if not isinstance(first, nn.Linear) or not isinstance(second, nn.Linear):
            return None
        return first.out_features if first.out_features == second.in_features else None

    def query_key_value(self, attention: str) -> nn.Linear | None:
        """The one matrix of an attention module that makes queries, keys and values, in this order
        and of equal size; None if it has another."""
        joint = getattr(self.module.get_submodule(attention), "qkv", None)
        is_joint = isinstance(joint, nn.Linear) and joint.out_features == 3 * joint.in_features
        return joint if is_joint else None

    def joining_projection(self, attention: str, width: int) -> nn.Linear | None:
        """W_O of an attention module, if it is all that follows attention @ values: no norm and no
        gate in between.

        Args:
            attention: the module's name.
            width: of all heads' results together.
        """
        module = self.module.get_submodule(attention)
        projection = getattr(module, "proj", None)
        norm = getattr(module, "norm", nn.Identity())
        if (
            isinstance(projection, nn.Linear)
            and projection.in_features == width
            and isinstance(norm, nn.Identity)
            and getattr(module, "gate", None) is None
        ):
            return projection
        return None

    @property
    def reroll(self) -> Any:
        """Hiera keeps the tokens of a window together; this says where they belong."""
        return self._known("reroll")

    # From tokens to classes

    @property
    def speaker(self) -> nn.Module:
        """The part that says what the numbers mean: the core, unless there is another head around
        it."""
        return self.module if self._has_further_weights else self.core

    @property
    def num_classes(self) -> int | None:
        """How many numbers the model gives, 0 without a classifier; None if it does not say. The
        classifier's layer says it, where somebody has put another one in."""
        if isinstance(self.module, Logits):
            return self.module.num_classes
        classifier = self.classifier
        if isinstance(classifier, nn.Linear):
            return classifier.out_features
        if isinstance(classifier, nn.Identity):
            return 0 if self.core is self.module else None  # who wraps it may see classes in it
        own = getattr(self.module, "num_classes", None)
        return own if own is not None or self._has_further_weights else self._known("num_classes")

    @property
    def pooling(self) -> str:
        """What is classified: “token”, “avg” (the mean of the patches), “map” or what timm says."""
        if getattr(getattr(self.core, "config", None), "use_mean_pooling", False):
            return "avg"  # BEiT of transformers, although it has a class token
        if self._known("pool_type") == "avg":
            return "avg"  # open_clip's tower, although it has one too
        return self._known("global_pool", "") or ""

    @property
    def width(self) -> int:
        """Numbers of a token."""
        return int(self._known("num_features"))

    @property
    def norm(self) -> nn.Module | None:
        """The norm after the last block."""
        norm = self._known("norm")
        return norm if isinstance(norm, nn.Module) else None

    @property
    def classifier(self) -> nn.Module | None:
        """The classifier's own module, an identity in a model that has none."""
        if (get := self._known("get_classifier")) is None or self._has_further_weights:
            return None
        classifier: nn.Module = get()
        return classifier

    @property
    def can_classify(self) -> bool:
        """Whether `classify` can be asked."""
        return self._known("forward_head") is not None and not self._has_further_weights

    def last_tokens(self, pixels: Tensor) -> Tensor | None:
        """The tokens after the last block and the final norm; None where they are not told."""
        forward = self._known("forward_features")
        return None if forward is None else forward(pixels)

    def pooled(self, tokens: Tensor) -> Tensor:
        """What the classifier reads of the last tokens: (batch, tokens, width) → (batch, width)."""
        core: Any = self.core
        features: Tensor = core.forward_head(tokens, pre_logits=True)
        return features

    def classify(self, tokens: Tensor) -> Tensor:
        """The last tokens → logits, (batch, classes)."""
        core: Any = self.core
        logits: Tensor = core.forward_head(tokens)
        return logits

    def trainable_parts(self, blocks: int) -> list[nn.Module]:
        """The last blocks and the norms behind them."""
        norms = (self._known("norm"), self._known("fc_norm"))
        last = [self.block(layer) for layer in range(len(self.blocks) - blocks, len(self.blocks))]
        return [*last, *(norm for norm in norms if norm is not None)]

    def reset_classifier(self, classes: int) -> None:
        """Give the model a fresh classifier, of the float type of its other weights."""
        core: Any = self.core
        kind = self.float_type
        core.reset_classifier(classes)
        fresh = core.get_classifier()
        for head in fresh if isinstance(fresh, tuple) else (fresh,):  # a distilled model has two
            head.to(kind)

    def set_input_size(self, size: Grid) -> bool:
        """Resample the learned positions for inputs of this (height, width); whether it can be."""
        if (resize := self._known("set_input_size")) is None:
            return False
        resize(img_size=size)
        return True
