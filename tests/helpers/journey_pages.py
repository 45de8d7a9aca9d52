"""The journey's page in a browser: what it shows, where things are on it, and ways through it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

import vitviz

SAMPLE = "cat"
COLUMNS = 16  # of the bundled model's grid
GOLD, BLUE = (217, 165, 20), (86, 180, 233)
LEFT, TOP = 2, 30  # where the photo lies on the picture of the whole, in px


def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("window.journey.state")
    return found


def share(text: str) -> tuple[float, float]:
    """The number in “… 3.4 %”, and half of its last digit."""
    [digits] = re.findall(r"([\d.]+) %$", text)
    decimals = len(digits.partition(".")[2])
    return float(digits) / 100, 0.5 * 10.0 ** -(decimals + 2)


def assert_said(text: str, exact: float) -> None:
    """A share as it is shown is the exact one, rounded to what is shown."""
    shown, half = share(text)
    assert abs(shown - exact) <= half + 2e-3 * exact, (text, exact)


def classes(page: Page) -> dict[str, str]:
    """What the list of classes shows: label → share."""
    rows = page.locator(".class-rows li:not(.gone)")
    labels, shares = (rows.locator(part).all_inner_texts() for part in ("span", "b"))
    return dict(zip(labels, shares, strict=True))


def assert_classes(page: Page, values: Any, rec: vitviz.Recording) -> None:
    """The list shows values of (classes,), and the largest of them is among these."""
    label = {prediction.index: prediction.label for prediction in rec.predictions}
    exact = {label[index]: float(value) for index, value in enumerate(values)}
    shown = classes(page)
    assert shown
    for name, text in shown.items():
        assert_said(text, exact[name])
    assert max(exact, key=exact.__getitem__) in shown


def side(page: Page) -> float:
    """Of the photo on the picture of the whole, in px."""
    width = page.locator(".journey").evaluate("(node) => node.clientWidth")
    scroll = page.locator(".scroll").evaluate("(node) => node.clientWidth")
    return 190 if width < 640 else min(230, 0.24 * scroll)


def place(page: Page, row: int, col: int, columns: int = COLUMNS) -> tuple[float, float]:
    """The middle of a patch of the photo on the picture of the whole, on the page's screen."""
    box = page.locator(".scene").bounding_box()
    assert box
    unit = side(page) / columns
    return box["x"] + LEFT + (col + 0.5) * unit, box["y"] + TOP + (row + 0.5) * unit


def expect_colour(page: Page, x: float, y: float, colour: tuple[int, int, int]) -> None:
    """A pixel of the picture of the whole gets this colour."""
    page.mouse.move(0, 0)  # the cursor has an outline of its own
    page.wait_for_function(
        """([x, y, colour]) => {
            const context = document.querySelector(".scene").getContext("2d")
            return context.getImageData(x, y, 1, 1).data.slice(0, 3).join() === colour
        }""",
        arg=[x, y, ",".join(map(str, colour))],
    )


def follow(page: Page, row: int, col: int) -> None:
    page.mouse.click(*place(page, row, col))
    expect(page.locator(".follow")).to_contain_text(f"Following: patch {row},{col}")


def open_block(page: Page, block: int) -> None:
    page.get_by_role("button", name=f"Open block {block}", exact=True).click()
    expect(page.locator(".station-softmax")).to_be_visible()


def open_head(page: Page, block: int, head: int) -> None:
    open_block(page, block)
    page.locator(".head-button").nth(head).click()
    expect(page.locator(".head-button").nth(head)).to_have_attribute("aria-pressed", "true")
    page.locator(".matrix-button").first.click()
    expect(page.locator(".head-view .head-button").nth(head)).to_have_attribute(
        "aria-pressed", "true"
    )


def cell(page: Page, query: int, key: int) -> tuple[float, float]:
    """The middle of a cell of the open head's matrix."""
    page.locator(".marks").scroll_into_view_if_needed()
    box = page.locator(".marks").bounding_box()
    assert box
    unit = box["width"] / (COLUMNS * COLUMNS + 1)
    return box["x"] + (key + 0.5) * unit, box["y"] + (query + 0.5) * unit


# (L₁ + 0.05) / (L₂ + 0.05) of a button's text and ground, relative luminance as WCAG 2 has it.
CONTRAST = """(button) => {
    const luminance = (colour) => {
        const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((level) => {
            const share = level / 255
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
        })
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const { color, backgroundColor } = getComputedStyle(button)
    const [low, high] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b)
    return (high + 0.05) / (low + 0.05)
}"""
