"""Back to the top of the page when it shows something else."""

from __future__ import annotations

from vitviz.ui.parts.browser import component
from vitviz.ui.visit import keys

_component = component("scroll")


def to_top_when_new(what: str) -> None:
    """Scroll up when `what` is shown is not what was shown before.

    Args:
        what: names it, such as a lesson and its step.
    """
    _component(data={"what": what}, key=keys.SHOWN)
