"""What each head adds to a token.

The heads' results are joined and multiplied with one matrix. That is the same as multiplying each
head's result with its own columns of the matrix and adding up: W·[o₁ … o_H] + b = Σ W_h o_h + b.
Elhage et al. 2021, "A mathematical framework for Transformer circuits".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitviz.errors import MethodError
from vitviz.inside.attention_steps import head_steps
from vitviz.models.weights import as_floats
from vitviz.recording.query import Query
from vitviz.recording.recording import Recording

__all__ = ["HeadOutputs", "head_outputs"]


@dataclass(frozen=True)
class HeadOutputs:
    """What the heads of a layer add to one token.

    Attributes:
        joined: their results one behind the other, (heads · dim,).
        parts: what each adds after the projection, (heads, width).
        bias: what the projection adds, (width,).
    """

    joined: Tensor
    parts: Tensor
    bias: Tensor

    @property
    def total(self) -> Tensor:
        """What the attention layer puts out for this token, (width,)."""
        return self.parts.sum(dim=0) + self.bias


def head_outputs(rec: Recording, layer: int, query: Query = "cls") -> HeadOutputs:
    """The heads' shares in one layer for one token, in float32.

    Raises:
        VitvizError: if there is no such layer or patch.
        MethodError: if the model does not join its heads by one matrix, or `head_steps` cannot
            show them.

    Examples:
        >>> found = head_outputs(rec, 11)
        >>> found.parts.shape, torch.equal(found.total, found.parts.sum(dim=0) + found.bias)
        (torch.Size([6, 384]), True)
    """
    heads = [head_steps(rec, layer, head, query).output for head in range(rec.num_heads(layer))]
    joined = torch.cat(heads)
    projection = rec.vit.anatomy.joining_projection(rec.layers[layer].module, len(joined))
    if projection is None:
        raise MethodError(
            "heads_not_joined",
            "{model} does not join its heads by one linear projection.",
            model=rec.vit.name,
        )
    factor = rec.edited.factor(rec.layers[layer].module)
    weight = factor * as_floats(projection.weight).unflatten(1, (len(heads), -1))
    parts = torch.einsum("whd,hd->hw", weight, torch.stack(heads))
    learned = projection.bias
    bias = weight.new_zeros(len(weight)) if learned is None else factor * learned.detach().float()
    return HeadOutputs(joined, parts, bias)
