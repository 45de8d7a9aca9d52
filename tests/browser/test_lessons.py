"""A lesson in a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from waiting import click, wait_until_idle

from vitviz.ui.visit.language import texts

# Width and height of every picture as it is seen, also of those that a component keeps to itself.
FIGURES = """() => {
    const drawn = (canvas) => canvas.width !== 300 || canvas.height !== 150 // as an empty one is
    const stage = document.querySelector(".st-key-stage")
    if (!stage) return [] // it is yet to come
    const inside = [...stage.querySelectorAll("*")].flatMap(({ shadowRoot }) => shadowRoot ?? [])
    const figures = [
        ...stage.querySelectorAll(".stImage img, .stVegaLiteChart :is(canvas, svg.marks)"),
        ...inside.flatMap((root) => [...root.querySelectorAll("canvas:not(.bar)")]).filter(drawn),
    ]
    return figures.map((figure) => {
        const { width, height } = figure.getBoundingClientRect()
        const [wide, high] = {
            IMG: [figure.naturalWidth, figure.naturalHeight],
            CANVAS: [figure.width, figure.height],
        }[figure.tagName] ?? [width, height]
        const scale = Math.min(width / wide, height / high)
        return [scale * wide, scale * high]
    })
}"""


def settled(page: Page) -> Any:
    """The figures' sizes, once they no longer change: they are fitted to the screen."""
    wait_until_idle(page)
    sizes = None
    while sizes != (now := page.evaluate(FIGURES)):
        sizes = now
        page.wait_for_timeout(500)
    return sizes


def open_lesson(page: Page, address: str) -> None:
    page.goto(address)
    wait_until_idle(page)


def test_a_lesson_is_walked_and_its_language_changed(page: Page, server: str) -> None:
    open_lesson(page, f"{server}/tokens?sample=coffee")
    page.get_by_text("Answer the question first").wait_for()
    click(page.get_by_text("256", exact=True))
    page.get_by_text("16 × 16 = 256.").wait_for()
    click(page.get_by_role("button", name="Next"))
    expect(page.get_by_role("heading", name="A patch is numbers")).to_be_visible()
    click(page.get_by_role("button", name="中文"))
    expect(page.get_by_role("heading", name="图像块就是数字")).to_be_visible()
    click(page.get_by_role("button", name="上一步"))
    expect(page.get_by_text("每行 224 / 14 = 16 块")).to_be_visible()  # the answer is still there
    page.get_by_role("button", name="English").click()
    page.get_by_text("16 × 16 = 256.").wait_for()
    assert "lang=en" in page.url
    assert "sample=coffee" in page.url


def test_a_presenter_walks_with_the_arrow_keys(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    open_lesson(page, f"{server}/tokens?step=3&present=true")
    expect(page.get_by_role("heading", name="What the model measures in it")).to_be_visible()
    wait_until_idle(page)  # a step may be drawn before its large type has arrived
    words = page.get_by_text("The model has learned several hundred")
    assert float(words.evaluate("e => getComputedStyle(e).fontSize").removesuffix("px")) >= 24
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="One filter gives one number")).to_be_visible()
    wait_until_idle(page)
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="What the model measures in it")).to_be_visible()


@pytest.mark.parametrize(
    ("step", "count"),
    [
        ("pretraining?step=6", 1),  # a chart
        ("pretraining?step=1", 2),  # a chart beside a photo
        ("cnn?step=2", 2),  # pictures side by side
        ("captions?step=5", 1),  # a photo under a map, which a component draws
        ("detection?step=2", 2),
    ],
)
def test_figures_are_larger_for_a_class(page: Page, server: str, step: str, count: int) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    sizes = []
    for view in ("", "&present=true"):
        open_lesson(page, f"{server}/{step}{view}")
        page.wait_for_function(f"({FIGURES})().length === {count}")
        sizes.append(settled(page))
    for (width, height), (wide, high) in zip(*sizes, strict=True):
        assert width > 100 < height
        assert wide * high > 1.1 * width * height


@pytest.mark.parametrize("step", ["cost?step=3", "beyond?step=5", "cnn?step=8"])
def test_tables_fit_a_phone(page: Page, server: str, step: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_lesson(page, f"{server}/{step}")
    page.locator(".stTable table").last.wait_for()
    wait_until_idle(page)
    for table in page.locator(".stTable table").all():
        box = table.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_a_click_chooses_the_patch_and_goes_into_the_link(page: Page, server: str) -> None:
    open_lesson(page, f"{server}/tokens?step=4")
    photo = page.locator(".patch-map > canvas")
    before = page.locator(".katex-display").last.inner_text()
    photo.click(position={"x": 120, "y": 60})
    page.wait_for_url("**patch=*")
    expect(page.locator(".katex-display").last).not_to_have_text(before)


def test_worksheets_are_downloaded(page: Page, server: str) -> None:
    open_lesson(page, f"{server}/tokens?lang=zh")
    page.get_by_role("button", name="练习单").click()
    with page.expect_download() as started:
        page.get_by_role("button", name="答案版").click()
    sheet = Path(started.value.path()).read_text(encoding="utf-8")
    assert "从照片到 token" in sheet
    assert "☒" in sheet


def test_a_word_is_hovered_clicked_and_walked_to(page: Page, server: str) -> None:
    open_lesson(page, f"{server}/words?step=2&word_head=2")
    words, said = page.locator(".word-heads .words button"), page.locator(".word-heads output")
    expect(words).to_have_count(13)
    expect(said).to_contain_text("“mat” looks most at “the” in head 2")
    settled(page)  # what is drawn anew under the cursor does not know that it is there
    words.nth(2).hover()
    expect(said).to_contain_text("“cat” looks most at “the” in head 2: > 99.9%")
    words.nth(9).click()
    expect(words.nth(9)).to_have_attribute("aria-pressed", "true")
    settled(page)  # what is drawn anew under the cursor is taken for hovered
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("“tired” looks most at “was”")
    page.locator(".word-heads .rows button").nth(5).click()
    expect(said).to_contain_text("in head 5")
    page.wait_for_url("**word_head=5*")


def test_the_map_leads_to_a_lesson_and_keeps_photo_and_language(page: Page, server: str) -> None:
    open_lesson(page, f"{server}/idea?step=6&sample=coffee&lang=zh")
    chosen = page.locator(".course-map [data-lesson=attention] rect:visible").first
    chosen.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(texts("zh")["attention"]["title"])
    wait_until_idle(page)
    assert "sample=coffee" in page.url
    page.get_by_role("button", name=texts("zh")["course_map"]["menu"]).click()
    here = page.locator(".course-map .here:visible")
    expect(here).to_have_attribute("aria-label", re.compile(texts("zh")["attention"]["title"]))
    page.locator(".course-map li [data-lesson=cost]:visible").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(texts("zh")["cost"]["title"])


def test_a_matrix_names_the_tokens_under_the_cursor(page: Page, server: str) -> None:
    open_lesson(page, f"{server}/matrix?step=2&patch=3,7")
    marks = page.locator(".token-matrix .marks")
    readout = page.locator(".token-matrix output")
    expect(readout).to_contain_text("row 3, column 7 looks at")
    wait_until_idle(page)
    side = marks.bounding_box()["width"]
    marks.hover(position={"x": 257.0 / 257 * side - 1, "y": 18.5 / 257 * side})
    expect(readout).to_contain_text("row 1, column 1 looks at row 15, column 15")
    marks.press("ArrowUp")
    expect(readout).to_contain_text("row 1, column 0 looks at row 15, column 15")
