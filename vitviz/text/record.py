"""One text read by a text Transformer, watched as a ViT is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitviz.arguments import checked
from vitviz.recording.calls import AttentionCall
from vitviz.recording.query import check_layer
from vitviz.recording.recorder import Recorder
from vitviz.text.model import TextModel, Token

__all__ = ["TextRecording", "record_text", "text_vectors"]


@dataclass(frozen=True, eq=False)
class TextRecording:
    """What one forward pass on one text computed.

    Attributes:
        model: shared and unchanged.
        text: as it was given.
        tokens: its pieces.
        layers: the self-attention call of each layer.
        states: each token's vector after the last layer, (tokens, width).

    Examples:
        >>> found = record_text(load_text_model(), "A cat sleeps.")
        >>> found.attention(0).shape  # (heads, tokens, tokens)
        torch.Size([12, 6, 6])
        >>> found.vector.shape
        torch.Size([384])
    """

    model: TextModel
    text: str
    tokens: tuple[Token, ...]
    layers: tuple[AttentionCall, ...]
    states: Tensor

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def num_heads(self, layer: int) -> int:
        """Heads of a layer."""
        return self.call(layer).shape[1]

    @property
    def vector(self) -> Tensor:
        """The text's vector, (width,), of length 1: the mean of all tokens, as the model's card
        says."""
        return F.normalize(self.states.mean(dim=0), dim=0)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What of the text is not in the vocabulary."""
        return tuple(self.text[t.start : t.end] for t in self.tokens if not t.is_known)

    @checked
    def attention(self, layer: int) -> Tensor:
        """Post-softmax attention of a layer, float32 (heads, tokens, tokens); rows sum to 1."""
        return self.call(layer).rows(slice(None))[0]

    def call(self, layer: int) -> AttentionCall:
        """Queries, keys and values of a layer.

        Raises:
            VitvizError: if there is no such layer.
        """
        check_layer(layer, self.num_layers)
        return self.layers[layer]


@checked
def record_text(model: TextModel, text: str) -> TextRecording:
    """Run a text Transformer once on a text and keep what its attention was given.

    Args:
        model: from `load_text_model`.
        text: a word, a sentence or a few, of at most 256 tokens, in English: what the vocabulary
            lacks is `unknown`, and means nothing to the model.

    Raises:
        VitvizError: if there is nothing to read in the text, or it is too long.

    Examples:
        >>> found = record_text(load_text_model(), "The cat sat on the mat.")
        >>> weights = found.attention(0)[2]  # layer 0, head 2: each word looks at the one before
        >>> [found.tokens[i].piece for i in weights[1:7].argmax(dim=-1)]
        ['[CLS]', 'the', 'cat', 'sat', 'on', 'the']
    """
    tokens = model.tokens(text)
    numbers = torch.tensor([[token.number for token in tokens]])
    with torch.no_grad(), Recorder(model.module) as recorder:
        states = model.module(numbers)[0]
    calls = tuple(call for call in recorder.calls if isinstance(call, AttentionCall))
    return TextRecording(model, text, tokens, calls, states)


def text_vectors(model: TextModel, texts: list[str]) -> Tensor:
    """The vector of each text, (texts, width). Texts of as many tokens are read together.

    Raises:
        VitvizError: as `record_text`.
    """
    numbers = [[token.number for token in model.tokens(text)] for text in texts]
    found: dict[int, Tensor] = {}
    for length in {len(each) for each in numbers}:
        alike = [place for place, each in enumerate(numbers) if len(each) == length]
        with torch.no_grad():
            states = model.module(torch.tensor([numbers[place] for place in alike]))
        found |= zip(alike, F.normalize(states.mean(dim=1), dim=1), strict=True)
    return torch.stack([found[place] for place in range(len(texts))])
