"""What axe-core finds on a page."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = ("serious", "critical")


def serious(page: Page) -> list[str]:
    """What is serious or worse, with the element, once nothing fades any more: what is half there
    is pale."""
    page.wait_for_function(
        """document.getAnimations().every((each) => each.playState !== "running"
            || each.effect.getTiming().iterations === Infinity)"""
    )
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{page.url} {each['id']}: {node['target']} {node['html'][:200]} {node['failureSummary']}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]
