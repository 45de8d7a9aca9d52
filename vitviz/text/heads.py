"""Which heads of a text Transformer look at a certain place, whatever is written there.

Clark et al. 2019, What does BERT look at?, arXiv 1906.04341: some heads attend to the previous or
the next token, and many to [SEP].
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from vitviz.errors import VitvizError
from vitviz.text.record import TextRecording

__all__ = ["PLACES", "Place", "share_at"]

Place = Literal["previous", "next", "itself", "first", "last"]
PLACES: tuple[Place, ...] = get_args(Place)
OFFSETS = {"previous": -1, "itself": 0, "next": 1}


def share_at(rec: TextRecording, place: Place) -> Tensor:
    """How much of its attention a word gives to a place, the mean over all words: (layers, heads).

    Args:
        rec: of a text with at least two words.
        place: the previous or the next word, the word itself, or the first or last token, which are
            [CLS] and [SEP]. Words that have no previous or next one do not count.

    Raises:
        VitvizError: if there is one word only and its neighbour is asked for.
    """
    words = len(rec.tokens) - 2
    if words < 2 and place in ("previous", "next"):
        raise VitvizError("one_word_only", "One word has no neighbour; type a sentence.")
    maps = torch.stack([rec.attention(layer)[:, 1:-1] for layer in range(rec.num_layers)])
    if place in OFFSETS:
        return maps[..., 1:-1].diagonal(OFFSETS[place], -2, -1).mean(dim=-1)
    return maps[..., 0 if place == "first" else -1].mean(dim=-1)
