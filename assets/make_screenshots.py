"""The README's screenshots and animation, taken from a running app.

make run &
python assets/make_screenshots.py http://localhost:8501
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

OUT = Path(__file__).parents[1] / "docs" / "screenshots"
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
FRAME = (760, 540)  # px of the animation
COLOURS = 64  # of an animation
JOURNEY_WIDTH = 800  # px of its animation
TIMES = [n / 6 for n in range(7)], [1 + n / 2 for n in range(1, 27)]  # photo to tokens, then blocks
LESSONS = {  # what to open, and the answer that shows the widgets
    "attention": ("step=3&sample=cat&patch=3,9", "It concentrates on fewer tokens"),
    "positions": ("step=3&sample=cat", None),
    "beyond": ("step=2&sample=tower&lang=zh", "常常能，但不是每张照片都行"),
}


def settle(page: Page) -> None:
    page.wait_for_timeout(500)
    page.wait_for_selector(IDLE)
    page.wait_for_timeout(700)


def animation(page: Page) -> list[Image.Image]:
    """Hovering over the photo, a click, and a few layers."""
    frames: list[Image.Image] = []

    def take() -> None:
        frames.append(Image.open(BytesIO(page.screenshot())).convert("RGB"))

    canvas = page.locator(".patch-map > canvas")
    box = canvas.bounding_box()
    assert box is not None
    for x, y in ((0.42, 0.36), (0.46, 0.38), (0.5, 0.42), (0.55, 0.5), (0.6, 0.56), (0.65, 0.55)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.wait_for_timeout(150)
        take()
    page.mouse.down()
    page.mouse.up()
    settle(page)
    take()
    for layer in ("Layer 8, head 3", "Layer 5, head 1", "Layer 2, head 4"):
        page.get_by_role("button", name=layer).click()
        settle(page)
        page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
        take()
    return frames


def journey(page: Page, address: str) -> list[Image.Image]:
    """The photo on its way through the model, and one block opened."""
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{address}/journey")
    shown = page.locator(".journey")
    slider = shown.get_by_role("slider")
    slider.wait_for()
    settle(page)
    frames: list[Image.Image] = []

    def take(time: float) -> None:
        slider.fill(f"{time:.2f}")
        page.wait_for_timeout(300)
        frames.append(Image.open(BytesIO(shown.screenshot())).convert("RGB"))

    for time in [*TIMES[0], *TIMES[1]]:
        take(time)
    page.screenshot(path=OUT / "journey.png")
    width, height = frames[0].size
    small = (JOURNEY_WIDTH, round(JOURNEY_WIDTH * height / width))
    return [frame.resize(small, Image.Resampling.LANCZOS) for frame in frames]


def write_gif(frames: list[Image.Image], name: str, duration: int) -> None:
    """An animation; `duration` of a frame in milliseconds."""
    still, *rest = [frame.quantize(COLOURS) for frame in frames]
    still.save(
        OUT / name, save_all=True, append_images=rest, duration=duration, loop=0, optimize=True
    )


def lesson_pictures(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 860}, device_scale_factor=1.5)
    for name, (opened, answer) in LESSONS.items():
        page.goto(f"{address}/{name}?{opened}")
        page.get_by_role("heading", level=1).wait_for()
        if answer:
            page.get_by_text(answer, exact=True).click()
        settle(page)
        page.screenshot(path=OUT / f"lesson-{name}.png")


def main(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell", args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1080})
        page.goto(f"{address}/explore?attention_layer=8")
        page.wait_for_selector(".map-sheet canvas")
        settle(page)
        page.screenshot(path=OUT / "explore.png")
        for name, height in (("compare", 1200), ("heads", 960)):
            page.set_viewport_size({"width": 1280, "height": height})
            page.goto(f"{address}/{name}?sample=cat-and-coffee")
            page.wait_for_selector("[data-testid=stDataFrame], .head-matrix", timeout=600_000)
            settle(page)
            page.screenshot(path=OUT / f"{name}.png")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{address}/explore?view=all&attention_layer=8")
        page.wait_for_selector(".map-sheet canvas")
        settle(page)
        write_gif([frame.resize(FRAME) for frame in animation(page)], "explore.gif", 900)
        write_gif(journey(page, address), "journey.gif", 330)
        lesson_pictures(browser, address)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
