"""What an edit takes from another recording."""

from __future__ import annotations

import torch
from torch import Tensor

from vitviz.errors import MethodError, ModelError
from vitviz.recording.recording import Recording

__all__ = ["blocks_of", "first_of", "fits", "other_model", "said", "states"]


def said(source: Recording) -> str:
    """A recording in the text of an edit: its model, its input and what was done there."""
    edits = "".join(f", {edit}" for edit in source.edits)
    return f"recording(model={source.vit.name!r}, input={source.input_hash!r}{edits})"


def fits(rec: Recording, source: Recording) -> None:
    """MethodError unless the tokens of two recordings are the same ones."""
    if (source.grid, source.num_prefix_tokens) != (rec.grid, rec.num_prefix_tokens):
        raise MethodError(
            "source_of_other_grid",
            "The other recording has {source_prefix} + {source_rows} × {source_cols} tokens and "
            "this one {prefix} + {rows} × {cols}; take one of the same model and size.",
            source_prefix=source.num_prefix_tokens,
            source_rows=source.grid[0],
            source_cols=source.grid[1],
            prefix=rec.num_prefix_tokens,
            rows=rec.grid[0],
            cols=rec.grid[1],
        )


def other_model(rec: Recording, source: Recording) -> MethodError:
    """The error where the other recording's layers are not this one's."""
    return MethodError(
        "source_of_other_model",
        "The other recording is of {other}, whose layers are not those of {model}; take one of the "
        "same model.",
        other=source.vit.name,
        model=rec.vit.name,
    )


def blocks_of(rec: Recording) -> tuple[str, ...]:
    """The modules around each layer's attention that follow one another: children of the innermost
    that holds them all; none if one holds several layers."""
    names = [call.module.split(".") for call in rec.layers]
    shared = 0
    while all(len(name) > shared + 1 for name in names) and len({n[shared] for n in names}) == 1:
        shared += 1
    blocks = tuple(dict.fromkeys(".".join(name[: shared + 1]) for name in names))
    return blocks if len(blocks) == rec.num_layers else ()


def states(rec: Recording) -> tuple[Tensor, ...]:
    """The residual stream after each block, (1, tokens, width) each, with the recording's edits:
    one forward pass, kept with the recording.

    Raises:
        ModelError: unless each layer is a block that hands on all tokens in their order.
    """
    return rec.derived.get(None, lambda: _states(rec), "states")


def _states(rec: Recording) -> tuple[Tensor, ...]:
    blocks = blocks_of(rec) if rec.is_plain else ()
    pixels = rec.pixels[None].to(rec.vit.anatomy.float_type)
    with torch.no_grad(), rec.recorder(watch=blocks) as recorder:
        rec.vit.run(pixels)
    found = [first_of(recorder.outputs[block]) for block in blocks]
    given = [first_of(recorder.inputs[block]) for block in blocks[1:]]
    handed_on = all(a is b for a, b in zip(found, given, strict=False))
    whole = [x for x in found if x is not None and x.shape[:-1] == (1, rec.num_tokens)]
    if not (blocks and handed_on and len(whole) == len(blocks)):
        raise ModelError(
            "no_block_a_layer",
            "The layers of {model} are not blocks one after the other, each of which hands on all "
            "tokens; choose a plain Vision Transformer (ViT, DeiT, DINO).",
            model=rec.vit.name,
        )
    return tuple(whole)


def first_of(value: object) -> Tensor | None:
    """The tokens among what a block was given or gives."""
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, Tensor) else None
