"""What flows through a plain Vision Transformer: the shape of the numbers behind each of its parts.

Dosovitskiy et al. 2020, arXiv 2010.11929.
"""

from __future__ import annotations

from dataclasses import dataclass

from vitviz.errors import ModelError, Phrase
from vitviz.inside.tokens import projection
from vitviz.recording.recording import Recording

__all__ = ["Shapes", "shapes"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Shapes:
    """How many numbers there are, and in what order, from the photo to the classes.

    Attributes:
        pixels: of the input, (channels, height, width).
        patches: each as one row of its pixels, (patches, pixels of a patch).
        embedded: a token for each patch, (patches, width).
        placed: with the class token in front and positions added, (tokens, width).
        queries: as are keys and values, of each head, (heads, tokens, dim).
        weights: after the softmax, (heads, tokens, tokens).
        joined: what attention adds, (tokens, width).
        hidden: between the two matrices of the MLP, (tokens, wider).
        features: what the classifier reads, (width,).
        logits: (classes,).
    """

    pixels: Shape
    patches: Shape
    embedded: Shape
    placed: Shape
    queries: Shape
    weights: Shape
    joined: Shape
    hidden: Shape
    features: Shape
    logits: Shape


def shapes(rec: Recording) -> Shapes:
    """The shapes in this recording's model and for its input.

    Raises:
        MethodError: if a layer does not have one map over all tokens.
        ModelError: if the model does not cut its input with one matrix, or its MLP is not two.
    """
    rec.require_plain(Phrase("architecture", "this table"))
    anatomy = rec.vit.anatomy
    filters, _ = projection(rec.vit)
    hidden = anatomy.hidden_width(0)
    if hidden is None:
        raise ModelError(
            "mlp_not_two_matrices",
            "The MLP of {model} is not two matrices; choose a plain Vision Transformer.",
            model=rec.vit.name,
        )
    patches, tokens = rec.grid[0] * rec.grid[1], rec.num_tokens
    width, heads = anatomy.width, rec.num_heads(0)
    return Shapes(
        pixels=tuple(rec.pixels.shape),
        patches=(patches, filters[0].numel()),
        embedded=(patches, width),
        placed=(tokens, width),
        queries=(heads, tokens, rec.layers[0].value.shape[-1]),
        weights=(heads, tokens, tokens),
        joined=(tokens, width),
        hidden=(tokens, hidden),
        features=(width,),
        logits=tuple(rec.logits.shape),
    )
