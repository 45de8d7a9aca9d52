"""The part of a model that is trained: a private copy, and what enters it.

A model is shared between visitors, so nothing here changes it: `private_copy` gives the one who
trains a head and last blocks of their own, while all frozen weights stay shared. What lies before
the trained part gives the same result in every step; `frozen_part` computes it once, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vitviz.errors import ModelError
from vitviz.models.anatomy import Anatomy
from vitviz.models.vit import Vit, shared_copy
from vitviz.progress import Progress, batches
from vitviz.recording.recorder import Recorder

__all__ = [
    "Inputs",
    "SeededDropout",
    "TrainedPart",
    "bfloat16_is_fast",
    "features",
    "frozen_part",
    "initialise",
    "logits_of",
    "private_copy",
    "trainable_parameters",
]


class Inputs(Protocol):
    """One tensor a photo, by its number: a list, a tensor, or files opened when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor: ...


def trainable_parameters(vit: Vit, classes: int, blocks: int | None) -> int:
    """How many numbers are trained: those of a new head of `classes` classes and, with `blocks`
    above 0, of the last blocks and the final norm; None counts the whole model.

    Raises:
        ModelError: if the model's head is not one matrix, or it has not as many blocks.
    """
    head = _head(vit)
    width = head.in_features if isinstance(head, nn.Linear) else vit.anatomy.width
    new_head = classes * (width + 1)
    if blocks is None:
        return new_head + _count(vit.module) - _count(head)
    return new_head + sum(_count(part) for part in _last_parts(vit, blocks))


def private_copy(vit: Vit, labels: Sequence[str], blocks: int | None = 0) -> Vit:
    """The model with a new head, and with last blocks and final norm of its own to be trained.

    All other weights are those of `vit`: shared, not copied, and not trainable.

    Args:
        vit: the model, left as it is.
        labels: names of the new classes.
        blocks: how many of the last blocks are copied; None copies the whole model.

    Raises:
        ModelError: if the model's head is neither one matrix nor missing, or it has not as many
            blocks.
    """
    _head(vit)
    own = [p for part in _last_parts(vit, blocks) for p in part.parameters()]
    module = shared_copy(vit.module, own).eval()
    Anatomy(module).reset_classifier(len(labels))
    return replace(vit, module=module, labels=tuple(labels), elsewhere=None)


def initialise(head: nn.Linear, *, zero: bool, seed: int) -> None:
    """Zeros, or normal numbers that give logits about as large as one feature; bias is 0.

    A head of zeros makes all C classes equally probable, so that the first loss is ln C.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        if not zero:
            head.weight.normal_(std=head.in_features**-0.5, generator=generator)


def features(vit: Vit, pixels: Tensor) -> Tensor:
    """What the classifier reads: (photos, 3, height, width) → (photos, width)."""
    with torch.no_grad():
        tokens = vit.anatomy.last_tokens(pixels)
        assert tokens is not None
        return vit.anatomy.pooled(tokens)


def frozen_part(
    vit: Vit, pixels: Inputs, blocks: int | None = 0, progress: Progress = lambda _: None
) -> Tensor:
    """What enters the trained part: the same in every step, so it is computed once.

    Args:
        vit: the model.
        pixels: of each photo, (3, height, width), as the transform made them.
        blocks: how many of the last blocks are trained; None trains the whole model.
        progress: called with the finished share after every few photos.

    Returns:
        (photos, width), the features that the head reads; with blocks above 0 the tokens that enter
        the first of these blocks, (photos, tokens, width); with None the pixels themselves,
        (photos, 3, height, width).

    Raises:
        ModelError: if these blocks, the final norm and the head alone do not give the model's
            logits from those tokens.
    """
    tokens = vit.anatomy.num_patches
    parts = []
    for part in batches(len(pixels), tokens, progress):
        photos = torch.stack([pixels[index] for index in range(part.start, part.stop)])
        if blocks is None:
            parts.append(photos)
        else:
            parts.append(_tokens_before(vit, photos, blocks) if blocks else features(vit, photos))
    return torch.cat(parts)


def _tokens_before(vit: Vit, photos: Tensor, blocks: int) -> Tensor:
    """What enters the last `blocks` blocks: (photos, tokens, width)."""
    _last_parts(vit, blocks)
    first = vit.anatomy.blocks[-blocks]
    with torch.no_grad(), Recorder(vit.module, watch=[first]) as recorder:
        logits = vit.module(photos)
    tokens: Tensor = recorder.inputs[first]
    with torch.no_grad():
        again = TrainedPart(vit, blocks)(tokens)
    if not torch.allclose(again, logits, atol=1e-4):
        raise ModelError(
            "blocks_not_trainable",
            "The last blocks of {model} cannot be trained on their own.",
            model=vit.name,
        )
    return tokens


class SeededDropout(nn.Dropout):
    """Dropout with random numbers of its own: other threads draw from PyTorch's common ones.

    Srivastava et al. 2014, Journal of Machine Learning Research 15.
    """

    def __init__(self, p: float, seed: int) -> None:
        super().__init__(p)
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        mask = torch.empty_like(input).bernoulli_(1 - self.p, generator=self.generator)
        return input * mask / (1 - self.p)


class TrainedPart(nn.Module):
    """What is trained of a model, and all that lies behind it.

    Args:
        vit: the model that owns it.
        blocks: how many of its last blocks; 0 is the head alone, None the whole model.
        dropout: in front of the head, while `training`.
        seed: of the dropout.
        bfloat16: whether all but the head is computed in bfloat16; the weights stay as they are.
    """

    def __init__(
        self,
        vit: Vit,
        blocks: int | None = 0,
        dropout: float = 0.0,
        seed: int = 0,
        *,
        bfloat16: bool = False,
    ) -> None:
        super().__init__()
        self.module = vit.module
        self.anatomy = vit.anatomy
        self.head: Any = _head(vit)
        self.dropout = SeededDropout(dropout, seed)
        self._blocks, self._bfloat16 = blocks, bfloat16

    def forward(self, inputs: Tensor) -> Tensor:
        """What `frozen_part` gives, or pixels, (photos, 3, height, width) → logits,
        (photos, classes)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            found = self._features(inputs)
        return self.head(self.dropout(found.to(inputs.dtype)))

    def _features(self, inputs: Tensor) -> Tensor:
        if inputs.ndim == 2:
            return inputs
        if inputs.ndim == 4:
            tokens = self.anatomy.last_tokens(inputs)
        else:
            layers = len(self.anatomy.blocks)
            for layer in range(layers - (self._blocks or 0), layers):
                inputs = self.anatomy.block(layer)(inputs)
            tokens = inputs if self.anatomy.norm is None else self.anatomy.norm(inputs)
        assert tokens is not None
        return self.anatomy.pooled(tokens)


@torch.no_grad()
def logits_of(part: TrainedPart, inputs: Inputs, progress: Progress = lambda _: None) -> Tensor:
    """Logits of many photos, (photos, classes), a few at a time.

    Args:
        part: of a model.
        inputs: of each photo, as from `frozen_part`, or its pixels.
        progress: called with the finished share after every few photos.
    """
    found = [
        part(torch.stack([inputs[index] for index in range(some.start, some.stop)]))
        for some in batches(len(inputs), part.anatomy.num_patches, progress)
    ]
    return torch.cat(found)


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies in bfloat16 itself; elsewhere it is slower than float32."""
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _head(vit: Vit) -> nn.Module:
    """The classifier: one matrix, or nothing in a model that has none."""
    classifier = vit.anatomy.classifier
    if not isinstance(classifier, (nn.Linear, nn.Identity)):
        raise ModelError(
            "classifier_not_replaceable",
            "The classifier of {model} is not one matrix; it cannot be replaced.",
            model=vit.name,
        )
    return classifier


def _last_parts(vit: Vit, blocks: int | None) -> list[nn.Module]:
    """What is trained besides the head: the last blocks and the norms behind them."""
    if blocks is None:
        return [vit.module]
    if blocks == 0:
        return []
    count = len(vit.anatomy.blocks)
    if not 0 < blocks <= count:
        raise ModelError(
            "too_many_blocks",
            "{model} has {count} blocks that can be trained, not {blocks}.",
            model=vit.name,
            count=count,
            blocks=blocks,
        )
    return vit.anatomy.trainable_parts(blocks)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
