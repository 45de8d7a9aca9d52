"""A photo with its heatmap that one can hover, click and walk over with the arrow keys."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vitviz.heatmap import Heatmap
from vitviz.overlay import colorize
from vitviz.recording import Recording
from vitviz.ui.session import Session

_FOLDER = Path(__file__).parent
_COMPONENT = st.components.v2.component(
    "vitviz_patch_map",
    html=(_FOLDER / "patch_map.html").read_text(),
    css=(_FOLDER / "patch_map.css").read_text(),
    js=(_FOLDER / "patch_map.js").read_text(),
)


def patch_map(
    session: Session,
    heat: Heatmap,
    rows: NDArray[np.float32] | None,
    *,
    query: tuple[int, int] | None,
    colormap: str,
    alpha: float,
    smooth: bool,
    scale: tuple[float, float],
    alt: str,
    key: str,
    on_query: Callable[[], None],
) -> None:
    """Show the photo under its heatmap; `on_query` runs after a click, with the patch as
    `st.session_state[key].query`.

    Args:
        rows: where each patch looks, (patches, patches), to explore without the server; None for
            a method that would have to compute it.
        scale: values of the lowest and highest colour for `heat`; an explored row has its own.
    """
    data: dict[str, Any] = {
        "photo": "data:image/jpeg;base64," + _text(session.jpeg),
        "size": session.preview.size,
        "box": [session.factor * edge for edge in heat.box],
        "grid": heat.values.shape,
        "values": _text(heat.values),
        "scale": scale,
        "rows": None if rows is None else quantised(rows),
        "palette": _text(colorize(np.linspace(0, 1, 256, dtype=np.float32), colormap, (0, 1))),
        "alpha": alpha,
        "smooth": smooth,
        "query": query,
        "alt": alt,
    }
    _COMPONENT(data=data, key=key, on_query_change=on_query)


def patch_rows(rec: Recording, layer: int, head: int | None) -> NDArray[np.float32]:
    """Where each patch looks in a layer's head (or their mean), (patches, patches)."""
    attention = rec.attention(layer)
    chosen = attention.mean(dim=0) if head is None else attention[head]
    prefix = rec.num_prefix_tokens
    return chosen[prefix:, prefix:].numpy()


def quantised(rows: NDArray[np.float32]) -> dict[str, str]:
    """Rows as bytes between each row's own smallest and largest value: 1/255 of its range."""
    low, high = rows.min(axis=1), rows.max(axis=1)
    span = np.where(high > low, high - low, 1)
    levels = np.rint((rows - low[:, None]) / span[:, None] * 255).astype(np.uint8)
    return {"levels": _text(levels), "low": _text(low), "high": _text(high)}


def _text(data: bytes | NDArray[Any]) -> str:
    raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
    return b64encode(raw).decode("ascii")
