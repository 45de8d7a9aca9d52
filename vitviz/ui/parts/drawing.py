"""A drawing in the colours of the page."""

from __future__ import annotations

from vitviz.ui.parts.browser import component

_component = component("drawing")


def draw(svg: str, key: str) -> None:
    """Show an SVG: its lines, words and boxes take the colours of components/drawing.css."""
    _component(data={"svg": svg}, key=key)
