"""What axe-core finds on every page, and what can be reached with the keyboard alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe import serious
from playwright.sync_api import Browser, Page, expect
from waiting import wait_until_idle

from vitviz.ui.visit.language import LANGUAGES, texts

PAGES = [
    "",
    "explore",
    "journey",
    "compare",
    "heads",
    "glossary",
    "exam?draw=7",
]  # lessons: see test_steps
GROUNDS: dict[Any, str] = {"light": "rgb(251, 250, 248)", "dark": "rgb(20, 23, 26)"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_serious(
    browser: Browser, server: str, flowers: str, language: str
) -> None:
    """By day and by night; with a small model where there is a choice: Compare runs it three
    hundred times."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.set_default_timeout(120_000)
    found = []
    for name in PAGES:
        model = f"&model={flowers}" if name in ("compare", "heads") else ""
        sign = "&" if "?" in name else "?"
        page.goto(f"{server}/{name}{sign}lang={language}{model}")
        page.get_by_role("heading", level=1).wait_for()
        for scheme, ground in GROUNDS.items():
            page.emulate_media(color_scheme=scheme)
            expect(page.get_by_test_id("stApp")).to_have_css("background-color", ground)
            wait_until_idle(page)
            found += serious(page)
    page.close()
    assert not found, "\n".join(found)


def tab_to(page: Page, name: str) -> None:
    """Press the tab key until the focus is on a button of this name, also inside a component."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
                let node = document.activeElement
                while (node.shadowRoot?.activeElement) node = node.shadowRoot.activeElement
                return node.tagName === "BUTTON" && (node.ariaLabel ?? node.textContent)
            }"""
        )
        if focused and re.search(name, focused):
            return
    pytest.fail(f"the tab key does not reach {name}")


def test_a_photo_is_chosen_with_the_keyboard(page: Page, server: str) -> None:
    page.goto(f"{server}/explore")
    wait_until_idle(page)
    tab_to(page, "^Coffee$")
    page.keyboard.press("Enter")
    page.wait_for_url("**sample=coffee**")
    chosen = page.get_by_role("button", name="Coffee", exact=True)
    expect(chosen).to_have_attribute("aria-pressed", "true")
    expect(chosen).to_be_focused()  # it is where it was
    expect(page.get_by_text("espresso", exact=True)).to_be_visible()


def test_a_model_is_chosen_with_the_keyboard(page: Page, server: str, flowers: str) -> None:
    page.goto(f"{server}/explore?sample=coffee")
    wait_until_idle(page)
    tab_to(page, "Model ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_text(flowers).first).to_be_visible()
    row = page.locator("[class*=st-key-model_row]").filter(has_text=flowers)
    choose = row.get_by_role("button", name=texts("en")["models"]["choose"])
    for _ in range(60):
        page.keyboard.press("Tab")
        if choose.evaluate("(button) => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=f"Model {flowers}")).to_be_visible()
    expect(page.locator("ol.predictions")).to_contain_text("tulip")


def test_a_patch_is_chosen_with_the_keyboard(page: Page, server: str) -> None:
    page.goto(f"{server}/explore?sample=coffee")
    wait_until_idle(page)
    canvas = page.locator(".patch-map > canvas")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**query=**")
