"""Tokens × tokens as a picture that one can hover and walk over with the arrow keys."""

from __future__ import annotations

import numpy as np
import streamlit as st
from torch import Tensor

from vitviz.journey.page import palette
from vitviz.ui.parts.browser import component, numbers_address
from vitviz.ui.visit.language import entry
from vitviz.ui.visit.session import Session

_component = component("token_matrix", "numbers")


def token_matrix(
    session: Session,
    values: Tensor,
    *,
    colormap: str,
    scale: tuple[float, float],
    row: int,
    alt: str,
    key: str,
) -> None:
    """Show a number for each pair of tokens, (tokens, tokens): a row looks, a column is looked at.

    Args:
        colormap: a diverging one for numbers of both signs.
        scale: values of the lowest and the highest colour.
        row: the token that is marked at first.
        alt: what there is to see, and the caption below.
    """
    numbers = values.numpy().astype(np.float32)
    low, high = scale
    data = {
        "values": numbers_address(np.ascontiguousarray(numbers).tobytes(), f"{key} values"),
        "count": len(numbers),
        "low": low,
        "high": high,
        "palette": palette(colormap),
        "row": row,
        "prefix": session.rec.num_prefix_tokens,
        "columns": session.rec.grid[1],
        "before": entry("attention.prefix"),
        "place": entry("map.place"),
        "readout": entry("matrix.readout"),
        "alt": alt,
    }
    _component(data=data, key=key)
    st.caption(alt)
