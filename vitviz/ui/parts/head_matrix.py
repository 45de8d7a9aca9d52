"""Layers × heads as a matrix that one can click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vitviz.journey.page import palette
from vitviz.ui.parts.browser import component
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Session

Cell = tuple[int, int]  # (layer, head)
_matrix = component("head_matrix", "numbers", "walk")


def matrix(
    session: Session,
    values: NDArray[np.float32],
    pattern: str,
    off: set[Cell],
    chosen: Cell,
    key: str,
    on_open: Callable[[], None],
) -> None:
    """Layers as columns, heads as rows; `on_open` runs after a click, with the cell as
    `st.session_state[key].open`: "layer,head", or "layer,all" for a layer’s number.

    Args:
        values: NaN where it is not known yet.
    """
    layers, heads = values.shape
    cells = [_layer_cell(session, layer, off) for layer in range(layers)]
    cells += [
        _head_cell(values, (layer, head), pattern, off, chosen)
        for head in range(heads)
        for layer in range(layers)
        if head < session.rec.num_heads(layer)
    ]
    data = {
        "cells": cells,
        "columns": layers,
        "rows": [f"H{head}" for head in range(heads)],
        "palette": palette("viridis"),
        "alt": t("heads.matrix"),
    }
    _matrix(data=data, key=key, on_open_change=on_open)
    st.caption(t("heads.matrix_caption"))


def _layer_cell(session: Session, layer: int, off: set[Cell]) -> dict[str, Any]:
    """A layer's number above its column."""
    return {
        "id": f"{layer},all",
        "text": f"L{layer}",
        "title": t("heads.switch_layer", layer=layer),
        "level": None,
        "off": all((layer, head) in off for head in range(session.rec.num_heads(layer))),
        "chosen": False,
    }


def _head_cell(
    values: NDArray[np.float32], cell: Cell, pattern: str, off: set[Cell], chosen: Cell
) -> dict[str, Any]:
    """A head's value, coloured between the smallest and the largest."""
    (layer, head), value = cell, float(values[cell])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    known = not np.isnan(value)
    text = pattern.format(value) if known else "…"
    return {
        "id": f"{layer},{head}",
        "text": text,
        "title": t("heads.value", name=t("heads.name", layer=layer, head=head), value=text),
        "level": round(255 * (value - low) / ((high - low) or 1.0)) if known else None,
        "off": cell in off,
        "chosen": cell == chosen,
    }
