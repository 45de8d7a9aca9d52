"""What a visitor's own browser keeps: a reload loses nothing, and the server holds nothing."""

from __future__ import annotations

import json
from typing import Any

from vitviz.ui.parts.browser import component
from vitviz.ui.visit import keys

_component = component("browser_memory")


def browser_memory(name: str, value: object) -> Any:
    """What the browser kept under a name when this page was opened, as JSON has it; None where it
    kept nothing, or has not said so yet: it does once, just after the first run.

    It comes from outside: whoever uses it makes sure that it is what it should be.

    Args:
        name: ours only, of what is kept.
        value: what it shall keep from now on; None changes nothing, and an empty one is forgotten.
    """
    told = None if value is None else json.dumps(value, ensure_ascii=False)
    shown = _component(
        data={"name": f"vitviz.{name}", "value": told},
        key=keys.BROWSER_MEMORY.format(name),
        on_found_change=lambda: None,
    )
    try:
        return json.loads(shown.found) if shown.found else None
    except ValueError:  # somebody else's
        return None
