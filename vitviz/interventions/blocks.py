"""The model run again block by block, with what lies between two blocks in one's hands."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vitviz.errors import ModelError, Phrase
from vitviz.recording.recorder import Recorder
from vitviz.recording.recording import Recording

__all__ = ["run_blocks"]

TITLE = Phrase("other_blocks", "a pass through changed blocks")
TOLERANCE = 1e-3  # of a logit


@torch.no_grad()
def run_blocks(rec: Recording, block: Callable[[int, Tensor], Tensor]) -> Tensor:
    """The model's forward pass with another function in the place of each block.

    Args:
        rec: whose photo.
        block: a layer and its tokens (1, tokens, width) → those of the next. The first
            `rec.num_prefix_tokens` stay what they are; how many follow is free.

    Returns:
        Logits (classes,).

    Raises:
        ModelError: if the model's blocks do not add attention and MLP one after the other.
        MethodError: if the recording has edits.

    Examples:
        >>> anatomy = rec.vit.anatomy
        >>> def plain(layer, x):
        ...     return anatomy.process(layer, anatomy.attend(layer, x))
        >>> bool((run_blocks(rec, plain) - rec.logits).abs().max() < 1e-3)
        True
    """
    rec.require_unedited(TITLE)
    anatomy = rec.vit.anatomy
    tokens = rec.derived.get(None, lambda: _first_tokens(rec), "first tokens", 1)
    for layer in range(len(anatomy.blocks)):
        tokens = block(layer, tokens)
    return _classified(rec, tokens)


def _classified(rec: Recording, tokens: Tensor) -> Tensor:
    anatomy = rec.vit.anatomy
    return anatomy.classify(tokens if anatomy.norm is None else anatomy.norm(tokens))[0].float()


def _first_tokens(rec: Recording) -> Tensor:
    """What the first block is given, (1, tokens, width), where the blocks are plain ones."""
    anatomy, names = rec.vit.anatomy, rec.vit.anatomy.blocks
    with Recorder(rec.vit.running, watch=names[:1]) as recorder:
        rec.vit.run(rec.pixels[None].to(anatomy.float_type))
    first = recorder.inputs.get("".join(names[:1]))
    if not isinstance(first, Tensor) or not _are_plain(rec, first):
        raise ModelError(
            "blocks_not_sequential",
            "The blocks of {model} do not add attention and MLP one after the other; "
            "choose a plain Vision Transformer (ViT, DeiT, DINO).",
            model=rec.vit.name,
        )
    return first


def _are_plain(rec: Recording, tokens: Tensor) -> bool:
    """Whether norm, attention, norm and MLP, one block after the other, give the model's logits."""
    anatomy = rec.vit.anatomy
    if not (rec.is_plain and anatomy.has_plain_blocks and anatomy.can_classify):
        return False
    for layer in range(len(anatomy.blocks)):
        tokens = anatomy.process(layer, anatomy.attend(layer, tokens))
    found = _classified(rec, tokens)
    return torch.allclose(found, rec.logits.float(), atol=TOLERANCE, rtol=TOLERANCE)
