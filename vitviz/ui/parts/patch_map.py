"""A photo with its heatmap that one can hover, click and walk over with the arrow keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vitviz.heatmap import Heatmap
from vitviz.journey.page import palette
from vitviz.ui.parts.browser import component, numbers_address
from vitviz.ui.visit.language import entry, explained, t
from vitviz.ui.visit.session import Look, Session
from vitviz.ui.visit.streamlit_private import media_address

_component = component("patch_map", "numbers")


def patch_map(
    session: Session,
    heat: Heatmap,
    rows: bytes | None,
    look: Look,
    *,
    query: tuple[int, int] | None,
    scale: tuple[float, float] | None,
    marks: list[list[int]],
    crosses: list[list[int]],
    meaning: str,
    alt: str,
    key: str,
    on_query: Callable[[], None] | None,
) -> None:
    """Show the photo under its heatmap; `on_query` runs after a click, with the patch as
    `st.session_state[key].query`.

    Args:
        rows: where each patch looks, `quantised`, to explore without the server; None for a method
            that would have to compute it.
        scale: values of the lowest and highest colour; None gives every map its own.
        marks: patches to mark with a ring, as [row, column].
        crosses: patches to mark with a cross.
        meaning: what the numbers tell, such as "from the class token".
        on_query: None for a method that does not start from a patch: a click does nothing.
    """
    values = np.ascontiguousarray(heat.values, np.float32).tobytes()
    data: dict[str, Any] = {
        "photo": media_address(session.jpeg, "image/jpeg", key),
        "size": session.preview.size,
        "box": [session.factor * edge for edge in heat.box],
        "grid": heat.values.shape,
        "values": numbers_address(values, f"{key} values"),
        "scale": scale or heat.range,
        "own_scale": scale is None,
        "rows": None if rows is None else numbers_address(rows, f"{key} rows"),
        "palette": palette(look.colormap),
        "alpha": look.alpha,
        "smooth": look.smooth,
        "query": query,
        "takes_query": on_query is not None,
        "marks": marks,
        "crosses": crosses,
        "meaning": meaning,
        "place": entry("map.place"),
        "following": t("map.following"),
        "outside": t("map.outside"),
        "alt": alt,
    }
    _component(data=data, key=key, on_query_change=on_query or (lambda: None))
    if look.alpha and heat.notice:
        st.warning(explained(heat.notice), icon=":material/blur_off:")


def quantised(rows: NDArray[np.float32]) -> bytes:
    """(patches, patches): each row's smallest value and each row's largest, float32, and then the
    rows as bytes between the two: exact to 1/255 of a row's range."""
    low, high = rows.min(axis=1), rows.max(axis=1)
    span = np.where(high > low, high - low, 1)
    levels = np.rint((rows - low[:, None]) / span[:, None] * 255).astype(np.uint8)
    return low.tobytes() + high.tobytes() + levels.tobytes()
