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
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    span = (high - low) or 1.0
    text = np.vectorize(lambda value: "…" if np.isnan(value) else pattern.format(value))(values)
    cells: list[dict[str, Any]] = [
        {
            "id": f"{layer},all",
            "text": f"L{layer}",
            "title": t("heads.switch_layer", layer=layer),
            "level": None,
            "off": all((layer, head) in off for head in range(session.rec.num_heads(layer))),
            "chosen": False,
        }
        for layer in range(layers)
    ]
    cells += [
        {
            "id": f"{layer},{head}",
            "text": text[layer, head],
            "title": t(
                "heads.value",
                name=t("heads.name", layer=layer, head=head),
                value=text[layer, head],
            ),
            "level": None
            if np.isnan(values[layer, head])
            else round(255 * (float(values[layer, head]) - low) / span),
            "off": (layer, head) in off,
            "chosen": (layer, head) == chosen,
        }
        for head in range(heads)
        for layer in range(layers)
        if head < session.rec.num_heads(layer)
    ]
    data = {
        "cells": cells,
        "columns": layers,
        "palette": palette("viridis"),
        "alt": t("heads.matrix"),
    }
    _matrix(data=data, key=key, on_open_change=on_open)
    st.caption(t("heads.matrix_caption"))
