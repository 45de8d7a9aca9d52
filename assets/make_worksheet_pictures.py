"""The pictures of the lessons' steps for worksheets and the booklet, taken from a running app.

make run &
python assets/make_worksheet_pictures.py http://localhost:8501 [LESSON …]
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops
from playwright.sync_api import Locator, Page, sync_playwright

from vitviz.ui.course.lesson import Lesson, Step
from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.visit.language import LANGUAGES, texts

OUT = Path(__file__).parents[1] / "vitviz" / "ui" / "lessons" / "pictures" / "steps"
MOST_BYTES = 40_000  # of a picture
LEAST_HEIGHT = 90  # px: a lower one shows nothing but words
WIDTH = 900  # px
SCALE = 1.5  # pixels of the screen a CSS pixel
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
# What has to be pressed before a step shows its figure.
PRESSED = {
    ("prediction", "judge"): ["measure"],
    ("training", "run"): ["take", "train"],
    ("training", "entropy"): ["train"],
    ("cost", "timing"): ["run"],
}
UNPRINTED = ("stButton", "stFileUploader", "stNumberInput", "stPopover")
STYLE = f"""
    .st-key-stage .stElementContainer:has({", ".join(f".{kind}" for kind in UNPRINTED)})
        {{ display: none }}
    .st-key-stage .stColumn {{ padding-bottom: 0.8rem }}
"""


def main(address: str, only: list[str]) -> None:
    """One picture a step and language, of what stands beside its words."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell", args=["--no-sandbox"]
        )
        for tongue in LANGUAGES:
            for lesson in lessons():
                if only and lesson.id not in only:
                    continue
                page = browser.new_page(
                    viewport={"width": 1280, "height": 1000},
                    device_scale_factor=SCALE,
                    reduced_motion="reduce",
                )
                page.set_default_timeout(120_000)
                page.goto(f"{address}/{lesson.id}?lang={tongue}")
                page.get_by_role("heading", level=1).wait_for()
                for number, step in enumerate(lesson.steps):
                    if number:
                        page.locator(".st-key-next button").click()
                    take(page, lesson, step, tongue)
                page.close()
        browser.close()


def take(page: Page, lesson: Lesson, step: Step, tongue: str) -> None:
    """Answer the guess, press what shows the figure, and save it without its buttons."""
    words = texts(tongue)[lesson.id].get(step.id, {})
    settle(page)
    if step.guess:
        guess = words["guess"]
        page.get_by_text(guess["options"][guess["right"]], exact=True).click()
        page.get_by_text(guess["why"][guess["right"]]).wait_for()
        settle(page)
    for name in PRESSED.get((lesson.id, step.id), []):
        said = words[name] if name in words else texts(tongue)[lesson.id]["run"][name]
        button = page.get_by_role("button", name=said, exact=True)
        if button.is_visible():  # what is measured for one visitor of a sample is there for all
            button.click()
            settle(page)
    style = page.add_style_tag(content=STYLE)
    page.wait_for_timeout(300)
    picture = cut(page.locator(".st-key-stage .stColumn").nth(1))
    style.evaluate("(style) => style.remove()")
    file = OUT / tongue / f"{lesson.id}-{step.id}.webp"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    if picture.height >= LEAST_HEIGHT:
        file.write_bytes(small(picture))
    print(tongue, lesson.id, step.id, picture.size, flush=True)


def settle(page: Page) -> None:
    """Nothing runs any more, and everything is drawn."""
    page.wait_for_timeout(300)
    page.wait_for_selector(IDLE)
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_timeout(500)


def cut(column: Locator) -> Image.Image:
    """The column as a picture, without the empty part below what is in it."""
    taken = Image.open(BytesIO(column.screenshot())).convert("RGB")
    ground = Image.new("RGB", taken.size, taken.getpixel((0, taken.height - 1)))
    box = ImageChops.difference(taken, ground).getbbox()
    if box is None:
        return taken.crop((0, 0, taken.width, 1))
    found = taken.crop((0, box[1], taken.width, box[3]))
    if found.width <= WIDTH:
        return found
    height = round(found.height * WIDTH / found.width)
    return found.resize((WIDTH, height), Image.Resampling.LANCZOS)


def small(picture: Image.Image) -> bytes:
    """As WebP, as good as fits into so many bytes; what is too fine for that gets smaller."""
    for quality in range(85, 20, -10):
        file = BytesIO()
        picture.save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= MOST_BYTES:
            return file.getvalue()
    return small(picture.resize((picture.width * 3 // 4, picture.height * 3 // 4)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
