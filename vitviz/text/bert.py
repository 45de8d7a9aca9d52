"""A BERT encoder in plain torch, whose attention is PyTorch's own primitive.

Devlin et al. 2018, BERT, arXiv 1810.04805; the sizes are those of Wang et al. 2020, MiniLM, arXiv
2002.10957. Against a ViT of today it differs in two places: the norm stands behind each sum instead
of in front of each part, and the vectors at the bottom are looked up in a table instead of computed
from pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Bert", "renamed"]

EPSILON = 1e-12  # of every norm
NAMES = {  # in transformers' files → here
    r"embeddings\.(.*)_embeddings": r"\1s",
    r"embeddings\.LayerNorm": "norm",
    r"encoder\.layer": "blocks",
    r"attention\.self": "attention",
    r"attention\.output\.dense": "attention.output",
    r"attention\.output\.LayerNorm": "norm1",
    r"intermediate\.dense": "mlp.0",
    r"(\d)\.output\.dense": r"\1.mlp.2",
    r"(\d)\.output\.LayerNorm": r"\1.norm2",
}
UNUSED = re.compile(r"pooler\.|embeddings\.position_ids")  # a classifier's, and a list 0, 1, 2, …


class Attention(nn.Module):
    """Multi-head self-attention, (batch, tokens, width) → the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        found = F.scaled_dot_product_attention(q, k, v)
        joined: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return joined


class Block(nn.Module):
    """Attention and MLP, each added to the stream and normalised with it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width, EPSILON)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.norm2 = nn.LayerNorm(width, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x))
        found: Tensor = self.norm2(x + self.mlp(x))
        return found


class Bert(nn.Module):
    """Token numbers (batch, tokens) → a vector for each token, (batch, tokens, width).

    Args:
        vocabulary: how many pieces of words it knows.
        width: of a token's vector.
        depth: how many blocks.
        heads: in each block.
        longest: tokens that it has positions for.
    """

    def __init__(
        self,
        vocabulary: int = 30522,
        width: int = 384,
        depth: int = 6,
        heads: int = 12,
        longest: int = 512,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(longest, width)
        self.token_types = nn.Embedding(2, width)  # of a first and a second text
        self.norm = nn.LayerNorm(width, EPSILON)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def forward(self, numbers: Tensor) -> Tensor:
        places = torch.arange(numbers.shape[1])
        x = self.words(numbers) + self.positions(places) + self.token_types.weight[0]
        x = self.norm(x)
        for block in self.blocks:
            x = block(x)
        return x


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of transformers' BertModel under the names of `Bert`."""
    found = {}
    for name, tensor in state.items():
        if not UNUSED.match(name):
            for theirs, ours in NAMES.items():
                name = re.sub(theirs, ours, name)
            found[name] = tensor
    return found
