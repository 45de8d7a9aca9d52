"""Words from outside, in texts that Streamlit reads as Markdown: shown, never obeyed.

What a link, a file or a model says could otherwise be a link itself, or a picture that tells a
stranger's server who is looking. Escaping is not enough: the page makes links of bare addresses and
icons of `:names:` after it has read the Markdown, but neither in code.
"""

from __future__ import annotations

import re

__all__ = ["as_code", "as_words"]

MOST = 80  # characters that are shown
WORDS = re.compile(r"(?:[^\W_]|[“‘])(?:[^\W_]|[ ,;%×()“”‘’'–-])*")


def as_code(text: str) -> str:
    """Words shown as they are, on one line: no Markdown, no links."""
    return f"`{' '.join(text.replace('`', '’').split())[:MOST] or '…'}`"


def as_words(text: str) -> str:
    """The same, but as they stand where they are words that Markdown has no use for."""
    return text if WORDS.fullmatch(text) else as_code(text)
