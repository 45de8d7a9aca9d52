"""Clicks on a photo become a mask."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect
from waiting import click, wait_until_idle

from vitviz.ui.visit.language import texts

WORDS = texts("en")["detection"]["clicks"]


def click_at(page: Page, right: float, down: float) -> None:
    """At shares of the photo's size, which depends on what stands below it."""
    photo = page.locator(".patch-map > canvas")
    box = photo.bounding_box()
    assert box
    photo.click(position={"x": box["width"] * right, "y": box["height"] * down})


def test_clicked_patches_make_a_mask_and_a_link(page: Page, server: str) -> None:
    page.goto(f"{server}/detection?step=4&sample=coffee")
    wait_until_idle(page)
    click(page.get_by_text(WORDS["guess"]["options"][WORDS["guess"]["right"]], exact=True))
    page.get_by_text(WORDS["both"]).wait_for()
    click_at(page, 0.5, 0.5)
    page.wait_for_url(re.compile(r"clicks=\w{6}_t\d+-\d+$"))
    wait_until_idle(page)
    click(page.get_by_text(WORDS["background"], exact=True))
    click_at(page, 0.75, 0.9)
    page.wait_for_url(re.compile(r"clicks=\w{6}_t\d+-\d+_b\d+-\d+"))
    expect(page.get_by_text(re.compile(r"^2 clicks; \d+ patches"))).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("button", name=WORDS["clear"]).click()
    page.get_by_text(WORDS["both"]).wait_for()


def test_counts_are_written_as_counts(page: Page, server: str) -> None:
    page.goto(f"{server}/detection?step=1")
    wait_until_idle(page)
    guess = texts("en")["detection"]["seed"]["guess"]
    page.get_by_text(guess["options"][guess["right"]], exact=True).click()
    fewest = page.get_by_test_id("stMetricValue").first
    expect(page.locator(".patch-map .low")).to_have_text(fewest.inner_text())
