"""Waiting for the app in a browser."""

from __future__ import annotations

from playwright.sync_api import Page


def wait_until_idle(page: Page) -> None:
    """Nothing runs any more, and every picture has arrived: Streamlit forgets a picture that has
    been replaced, also if it was not loaded yet."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_function("[...document.images].every((image) => image.complete)")
