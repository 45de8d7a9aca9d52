"""A step on one screen."""

from __future__ import annotations

from vitviz.ui.parts.browser import component
from vitviz.ui.visit import keys

_component = component("screen")


def fit_screen(what: str) -> None:
    """Scroll up when `what` is shown is not what was shown before, and let the photos of the stage
    be only as high as leaves room for what stands below them.

    Args:
        what: names it, such as a lesson and its step.
    """
    _component(data={"what": what}, key=keys.SHOWN)
