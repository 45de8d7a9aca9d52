"""All heads and layers from one query, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from vitviz.heatmap import Heatmap, Scale
from vitviz.methods.attention import HeadMaps
from vitviz.ui.controls.choice import choice
from vitviz.ui.controls.question import MEAN, head_name
from vitviz.ui.parts.map_sheet import Panel, map_sheet
from vitviz.ui.visit import keys
from vitviz.ui.visit.language import t
from vitviz.ui.visit.session import Look, Session

MapsOf = Callable[[Sequence[int]], dict[int, HeadMaps]]
VIEWS = HEADS, LAYERS, BOTH = "heads", "layers", "all"


def show_sheet(
    session: Session,
    maps: MapsOf,
    look: Look,
    scale: Scale | None,
    layer: int,
    head: int | None,
) -> None:
    """Other heads and layers from the same query; a click opens one.

    Args:
        maps: gives those of the layers that are shown.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader(t("sheet.heading"), anchor=False)
        view: str = choice(
            st.segmented_control,
            t("sheet.show"),
            VIEWS,
            HEADS,
            keys.SHEET_VIEW,
            lambda view: t(f"sheet.{view}"),
            required=True,
            label_visibility="collapsed",
        )
        st.caption(t(f"sheet.{view}_shown"), width="content")
    layers = session.rec.num_layers
    map_sheet(
        session,
        panels_of(maps, layers, view, layer, head),
        look,
        columns=layers if view == BOTH else 0,
        scale=scale,
        alt=t(f"sheet.{view}_shown"),
        key=keys.SHEET,
        on_open=open_panel,
    )


def panels_of(maps: MapsOf, layers: int, view: str, layer: int, head: int | None) -> list[Panel]:
    """The small maps of a view: of this layer's heads, of this head in all layers, or of all."""
    shown = maps([layer] if view == HEADS else range(layers))
    most = max(shown.values(), key=len)  # layers may have heads of their own
    return [
        panel(of_layer[of_head], at, of_head, view, (at, of_head) == (layer, head))
        for of_head in ([head] if view == LAYERS else most)
        for at, of_layer in shown.items()
        if of_head in of_layer
    ]


def panel(heat: Heatmap, layer: int, head: int | None, view: str, chosen: bool) -> Panel:
    """One small map of the sheet."""
    name = MEAN if head is None else str(head)
    of_layer = t("sheet.layer", layer=layer)
    of_head = t("sheet.mean") if head is None else t("sheet.head", head=head)
    short = {HEADS: of_head, LAYERS: of_layer, BOTH: f"{layer} · {head_name(name)}"}
    long = t("sheet.panel", layer=of_layer, head=of_head)
    return Panel(f"{layer},{name}", short[view], long, heat, chosen)


def open_panel() -> None:
    """A click on a small map opens its layer and head."""
    layer, head = st.session_state[keys.SHEET].open.split(",")
    st.session_state.update({keys.ATTENTION_LAYER: int(layer), keys.ATTENTION_HEAD: head})
