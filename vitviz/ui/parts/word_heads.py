"""A text whose pieces show where they look, in every head of a layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vitviz.text.record import TextRecording
from vitviz.ui.parts.browser import as_text, component
from vitviz.ui.visit.language import entry, t

_component = component("word_heads", "numbers", "walk")


def word_heads(
    rec: TextRecording,
    layer: int,
    head: int,
    word: int,
    *,
    key: str,
    on_word: Callable[[], None],
    on_head: Callable[[], None],
) -> None:
    """Show the pieces, shaded by how much the one under the cursor looks at each in a head, and a
    row for each head of the layer.

    Args:
        word: the piece that is chosen.
        on_word: runs after a click on a piece, with its place as `st.session_state[key].word`.
        on_head: the same of a head, with its number as `st.session_state[key].head`.
    """
    weights = rec.attention(layer).numpy().astype(np.float32)
    data = {
        "pieces": [token.piece for token in rec.tokens],
        "weights": as_text(weights),
        "heads": len(weights),
        "head": head,
        "word": word,
        "said": entry("words.look.said"),
        "row": entry("words.look.row"),
        "alt": t("words.look.alt"),
        "rows_alt": t("words.look.rows_alt"),
    }
    _component(data=data, key=key, on_word_change=on_word, on_head_change=on_head)
