"""Many small maps over one photo: the heads of a layer, the layers of a head, or all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vitviz.heatmap import Heatmap
from vitviz.journey.page import palette
from vitviz.ui.parts.browser import component, numbers_address
from vitviz.ui.visit.language import explained
from vitviz.ui.visit.session import Look, Session
from vitviz.ui.visit.streamlit_private import media_address

_component = component("map_sheet", "numbers", "walk")


@dataclass(frozen=True)
class Panel:
    """One small map, what a click on it reports, and its names."""

    id: str
    label: str
    title: str
    heat: Heatmap
    chosen: bool


def map_sheet(
    session: Session,
    panels: Sequence[Panel],
    look: Look,
    *,
    columns: int,
    scale: tuple[float, float] | None,
    alt: str,
    key: str,
    on_open: Callable[[], None],
) -> None:
    """Show the panels; `on_open` runs after a click, with the id as `st.session_state[key].open`.

    Args:
        columns: panels in a row; 0 for as many as fit.
        scale: values of the lowest and highest colour; None gives every map its own.
    """
    maps = [
        {
            "id": panel.id,
            "label": panel.label,
            "title": panel.title,
            "chosen": panel.chosen,
            "grid": panel.heat.values.shape,
        }
        for panel in panels
    ]
    shown = b"".join(levels(panel.heat, scale or panel.heat.range).tobytes() for panel in panels)
    data = {
        "photo": media_address(session.small_jpeg, "image/jpeg", key),
        "size": session.small.size,
        "maps": maps,
        "levels": numbers_address(shown, f"{key} levels"),
        "columns": columns,
        "palette": palette(look.colormap),
        "alpha": look.alpha,
        "smooth": look.smooth,
        "alt": alt,
    }
    _component(data=data, key=key, on_open_change=on_open)
    notices: defaultdict[str, list[str]] = defaultdict(list)
    for panel in panels:
        if panel.heat.notice:
            notices[explained(panel.heat.notice)].append(panel.label)
    for notice, labels in notices.items():
        st.caption(f"{', '.join(labels)}: {notice}")


def levels(heat: Heatmap, scale: tuple[float, float]) -> NDArray[np.uint8]:
    """Which of 256 colours each patch has."""
    low, high = scale
    position = np.clip((heat.values - low) / ((high - low) or 1.0), 0, 1)
    return np.rint(position * 255).astype(np.uint8)
