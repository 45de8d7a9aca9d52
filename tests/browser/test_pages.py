"""Compare and Heads in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from waiting import wait_until_idle


def open_page(page: Page, address: str, name: str) -> None:
    page.goto(address)
    wait_until_idle(page)
    page.get_by_role("link", name=name).click()
    page.wait_for_url(re.compile(f"/{name.lower()}"))
    wait_until_idle(page)


def test_methods_are_compared_and_their_photo_changes(
    page: Page, server: str, flowers: str
) -> None:
    """With a small model: Compare runs it three hundred times."""
    open_page(page, f"{server}/explore?sample=cat-and-coffee&model={flowers}", "Compare")
    sample = page.get_by_role("button", name="Cat and coffee")
    expect(sample).to_have_attribute("aria-pressed", "true")  # as on the page before
    expect(page.get_by_text("is what this model’s behaviour supports most here")).to_be_visible()
    expect(page.locator(".map-sheet button")).to_have_count(5)
    expect(page.get_by_text("25% of the patches removed")).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("button", name=re.compile("Rank .: Attention rollout")).click()
    expect(page.get_by_text("the most relevant by Attention rollout first")).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("radio", name="Reveal patches").click()
    expect(page.get_by_text("25% of the patches revealed")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_heads_are_opened_and_switched_off(page: Page, server: str) -> None:
    open_page(page, f"{server}/explore", "Heads")
    page.get_by_role("button", name=re.compile("^Layer 4, head 2:")).click()
    expect(page.get_by_role("heading", name="Layer 4, head 2")).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("button", name="Switch layer 11 off or on").click()
    expect(page.get_by_role("button", name="Heads off: 6. Switch all on again")).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("radio", name="Switch heads off").click()
    page.wait_for_url(re.compile("mode=switch"))
    wait_until_idle(page)  # until then a click still opens
    page.get_by_role("button", name=re.compile("^Layer 0, head 0:")).click()
    page.wait_for_url(re.compile("off=0.0-11.0-"))
    wait_until_idle(page)
    page.get_by_role("button", name="Heads off: 7. Switch all on again").click()
    expect(page.get_by_role("button", name=re.compile("Switch all on again"))).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)


@pytest.mark.parametrize("name", ["Compare", "Heads"])
def test_nothing_sticks_out_of_a_phone(page: Page, server: str, flowers: str, name: str) -> None:
    """With a small model: Compare runs it three hundred times."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/{name.lower()}?model={flowers}")
    expect(page.locator(".map-sheet, .head-matrix").first).to_be_visible()
    wait_until_idle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_heads_have_the_names_of_their_rows_and_arrow_keys_walk_along_them(
    page: Page, server: str, flowers: str
) -> None:
    page.goto(f"{server}/heads?model={flowers}")
    names = page.locator(".head-matrix span")
    expect(names).to_have_text(["H0", "H1", "H2"])
    wait_until_idle(page)  # so that both are measured in one place
    for head in range(3):
        name, cell = names.nth(head), page.locator(f".head-matrix [data-id='1,{head}']")
        own, other = name.bounding_box(), cell.bounding_box()
        assert own
        assert other
        assert abs(own["y"] + own["height"] / 2 - other["y"] - other["height"] / 2) < 2
    page.locator(".head-matrix [data-id='0,1']").focus()
    for key, at in (("ArrowDown", "0,2"), ("ArrowRight", "1,2"), ("ArrowUp", "1,1")):
        page.keyboard.press(key)
        expect(page.locator(f".head-matrix [data-id='{at}']")).to_be_focused()
