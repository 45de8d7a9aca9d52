"""Waiting for the app in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from playwright.sync_api import Locator, Page, TimeoutError


def wait_until_idle(page: Page) -> None:
    """The page is there and nothing runs any more, every component is drawn, which Streamlit begins
    after the run, and every picture has arrived: Streamlit forgets one that was replaced, also if
    it was not loaded yet."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector("[data-testid=stApp]")
            const shown = (testid) => [...document.querySelectorAll(`[data-testid=${testid}]`)]
            const drawn = (component) => component.shadowRoot?.childElementCount
            return (
                app?.dataset.testConnectionState === "CONNECTED" &&
                app.dataset.testScriptState === "notRunning" &&
                document.querySelector("h1") &&
                !shown("stSkeleton").length &&
                shown("stBidiComponentIsolated").every(drawn) &&
                [...document.images].every((image) => image.complete)
            )
        }"""
    )


@contextmanager
def a_run(page: Page) -> Iterator[None]:
    """Until what is begun here has ended: before, nothing has begun to run yet. A run that is over
    at once may never be seen.
    """
    page.evaluate(
        """() => {
            const app = document.querySelector("[data-testid=stApp]")
            const ran = () => app.dataset.testScriptState === "running" && (app.hasRun = true)
            app.hasRun = false
            new MutationObserver(ran).observe(app, { attributeFilter: ["data-test-script-state"] })
        }"""
    )
    yield
    with suppress(TimeoutError):
        page.wait_for_function(
            "() => document.querySelector('[data-testid=stApp]').hasRun", timeout=30_000
        )
    wait_until_idle(page)


def click(button: Locator) -> None:
    """Until what it begins has ended."""
    with a_run(button.page):
        button.click()
