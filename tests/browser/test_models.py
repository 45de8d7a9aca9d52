"""Choosing and fetching models in a real browser."""

from __future__ import annotations

import re

from fake_hub import NAME, Handler, Hub
from playwright.sync_api import Page, expect
from waiting import wait_until_idle

from vitviz.zoo.catalogue import BUNDLED, CURATED


def open_list(page: Page) -> None:
    wait_until_idle(page)
    page.get_by_role("button", name=re.compile("Model ")).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_text(list(CURATED)[-1])).to_be_visible()


def choose(page: Page, name: str) -> None:
    row = page.locator("[class*=st-key-model_row]").filter(has_text=name)
    row.get_by_role("button", name="Choose").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name=f"Model {name}")).to_be_visible()


def test_a_model_that_was_just_added_is_chosen_and_stays(
    page: Page, server: str, flowers: str
) -> None:
    page.goto(f"{server}/explore?sample=coffee")
    open_list(page)
    choose(page, flowers)
    expect(page.locator("ol.predictions")).to_contain_text("tulip")
    assert f"model={flowers}" in page.url
    wait_until_idle(page)
    for name in ("Heads", "Compare"):
        page.get_by_role("link", name=name).click()
        page.wait_for_url(re.compile(f"/{name.lower()}.*model={flowers}"))
        expect(page.get_by_role("button", name=f"Model {flowers}")).to_be_visible()
        wait_until_idle(page)
        expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
    open_list(page)
    choose(page, BUNDLED)
    assert "model=" not in page.url


def test_search_finds_all_of_timm(page: Page, server: str) -> None:
    page.goto(f"{server}/explore")
    open_list(page)
    page.get_by_label("Search all of timm").fill("registers")
    page.get_by_label("Search all of timm").press("Enter")
    expect(page.get_by_text("No pretrained model of timm")).to_be_visible()
    wait_until_idle(page)
    page.get_by_label("Search all of timm").fill("giant reg4")
    page.get_by_label("Search all of timm").press("Enter")
    expect(page.get_by_text("vit_giant_patch14_reg4_dinov2.lvd142m")).to_be_visible()


def test_fetching_shows_the_licence_can_be_stopped_and_succeeds(
    page: Page, server: str, hub: Hub
) -> None:
    def slowly(handler: Handler, body: bytes) -> None:
        for start in range(0, len(body), 100_000):
            handler.send(body[start : start + 100_000])
            if hub.released.wait(0.3):
                return

    hub.serve = slowly
    page.goto(f"{server}/explore?model={NAME}")
    expect(page.get_by_text("licence apache-2.0")).to_be_visible()
    assert hub.asked == []
    wait_until_idle(page)
    page.get_by_role("button", name="Fetch the weights").click()
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", re.compile("[1-9]"))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Fetch the weights")).to_be_visible()
    wait_until_idle(page)
    hub.serve = Handler.send
    page.get_by_role("button", name="Fetch the weights").click()
    expect(page.locator("ol.predictions li")).to_have_count(5)
    expect(page.get_by_text("which knows 21843 classes")).to_be_visible()


def test_the_list_fits_a_phone(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/explore")
    open_list(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.get_by_role("dialog").get_by_role("button", name="Choose").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390
