"""The Explore page's main paths in a real browser."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import vitviz

IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"


def open_page(page: Page, address: str) -> Locator:
    """The photo's canvas once the page is idle and drawn."""
    page.goto(address)
    page.wait_for_selector(IDLE)
    canvas = page.locator(".patch-map > canvas")
    expect(page.locator(".patch-map output")).not_to_be_empty()
    return canvas


def pixels(canvas: Locator) -> np.ndarray:
    """What the visitor sees of the canvas."""
    return np.asarray(Image.open(BytesIO(canvas.screenshot())).convert("RGB")).astype(int)


def upload(page: Page, path: Path) -> None:
    page.get_by_role("button", name="Your own photo").click()
    page.locator("input[type=file]").set_input_files(path)


def test_opens_with_a_sample_analysed(page: Page, server: str) -> None:
    canvas = open_page(page, server)
    expect(page.get_by_text("What it sees")).to_be_visible()
    assert pixels(canvas).std() > 10  # a picture, not a blank


def test_an_uploaded_photo_is_analysed(page: Page, server: str, tmp_path: Path) -> None:
    open_page(page, server)
    photo = tmp_path / "mine.png"
    Image.open(next(s.path for s in vitviz.samples() if s.id == "coffee")).save(photo)
    upload(page, photo)
    expect(page.get_by_text("espresso", exact=False).first).to_be_visible()


def test_a_bad_file_gets_one_sentence(page: Page, server: str, tmp_path: Path) -> None:
    open_page(page, server)
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a photo")
    upload(page, bad)
    expect(page.get_by_text("This is not an image")).to_be_visible()
    expect(page.get_by_text("Traceback")).to_have_count(0)


def test_a_click_on_a_patch_makes_it_the_query(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/?sample=Cat+and+coffee&method=Attention")
    before = pixels(canvas)
    box = canvas.bounding_box()
    assert box is not None
    # The sample is square and the whole of it is the model's input: 16 × 16 patches.
    side = min(box["width"], box["height"])
    canvas.click(position={"x": side * 3.5 / 16, "y": side * 7.5 / 16})
    expect(page.get_by_role("textbox", name="Query")).to_have_value("7,3")
    page.mouse.move(0, 0)
    expect(page.locator(".patch-map output")).to_contain_text("row 7, column 3")
    page.wait_for_url(re.compile("query=7(,|%2C)3"))
    assert np.abs(pixels(canvas) - before).mean() > 1


def test_hovering_explores_without_the_server(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/?sample=Cat+and+coffee&method=Attention")
    before = pixels(canvas)
    page.context.set_offline(True)
    canvas.hover(position={"x": 100, "y": 250})
    expect(page.locator(".patch-map output")).to_contain_text("where this patch looks")
    assert np.abs(pixels(canvas) - before).mean() > 1
    page.context.set_offline(False)


def test_arrow_keys_move_the_query(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/?method=Attention&query=4,4")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("textbox", name="Query")).to_have_value("5,5")
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="Query")).to_have_value("")


def test_layer_and_head_change_the_map(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/?method=Attention")
    seen = [pixels(canvas)]
    for address in ("attention_layer=2", "attention_layer=2&attention_head=4"):
        canvas = open_page(page, f"{server}/?method=Attention&{address}")
        seen.append(pixels(canvas))
    assert np.abs(seen[0] - seen[1]).mean() > 1
    assert np.abs(seen[1] - seen[2]).mean() > 1


def test_the_picture_downloads_in_the_photos_own_size(page: Page, server: str) -> None:
    open_page(page, server)
    with page.expect_download() as started:
        page.get_by_role("button", name="Picture (PNG)").click()
    picture = Image.open(started.value.path())
    assert picture.size == Image.open(vitviz.samples()[0].path).size


def test_the_models_input_is_drawn_when_asked_for(page: Page, server: str) -> None:
    open_page(page, server)
    drawn = page.get_by_role("img", name="Its own input: 224 × 224 px in 16 × 16 patches.")
    expect(drawn).to_have_count(0)
    page.get_by_text("What the model was given").click()
    expect(drawn).to_be_visible()


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_sticks_out_of_the_screen(page: Page, server: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    canvas = open_page(page, server)
    box = canvas.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
