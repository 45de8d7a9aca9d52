"""Pages through Streamlit's AppTest."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

PATIENCE = 300  # seconds


def at(app: AppTest, **address: str | list[str]) -> AppTest:
    """Run an app whose address holds these parameters."""
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def page(name: str, **address: str | list[str]) -> AppTest:
    """A page of the app by itself; it may show an error."""
    script = f"from vitviz.ui.pages import {name}\n{name}.page()"
    return at(AppTest.from_string(script, default_timeout=PATIENCE), **address)


def opened(name: str, **address: str | list[str]) -> AppTest:
    """The same without an error."""
    app = page(name, **address)
    assert not app.error
    return app
