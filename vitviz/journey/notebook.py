"""A recording shows itself in a notebook."""

from __future__ import annotations

from html import escape

from vitviz.errors import MethodError
from vitviz.journey.page import page
from vitviz.recording.recording import Recording

__all__ = ["as_html"]


def as_html(rec: Recording) -> str:
    """A recording's journey in a frame of its own, or why it has none.

    Examples:
        >>> as_html(rec)[:7]
        '<iframe'
    """
    try:
        shown = escape(page(rec))
    except MethodError as error:
        return f"<p>{escape(str(error))}</p>"
    return f'<iframe srcdoc="{shown}" style="width: 100%; height: 680px; border: 0"></iframe>'
