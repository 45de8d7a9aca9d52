"""Every step of every lesson in a real Chromium, on a visitor's own photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe import serious
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from waiting import click, wait_until_idle

from vitviz.ui.course.lesson import Lesson
from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.visit.language import texts

# What has to be pressed before a step shows its figure.
PRESSED = {
    ("prediction", "judge"): ["prediction.judge.measure"],
    ("training", "run"): ["training.run.take", "training.run.train"],
    ("training", "entropy"): ["training.run.train"],
    ("cost", "measure"): ["cost.measure.run"],
}
OVERFLOW = """() => {
    const main = document.querySelector("[data-testid=stMain]")
    return [main.scrollHeight - main.clientHeight, main.scrollWidth - main.clientWidth]
}"""


def said(words: Any, key: str) -> str:
    for part in key.split("."):
        words = words[part]
    return str(words)


def bring_photo(page: Page, words: Any, path: Path) -> None:
    Image.effect_mandelbrot((300, 260), (-2, -1.2, 1, 1.2), 60).convert("RGB").save(path)
    page.get_by_role("button", name=words["photo"]["own"]).click()
    page.locator("input[type=file]").set_input_files(path)
    mine = page.get_by_role("button", name=words["photo"]["yours"], exact=True)
    expect(mine).to_have_attribute("aria-pressed", "true")
    wait_until_idle(page)


def show_figure(page: Page, words: Any, lesson: Lesson, screen: str) -> None:
    """Give the right answer, where the step asks for one, and press what shows its figure."""
    step = words[lesson.id].get(screen, {})
    if "guess" in step:
        options, right = step["guess"]["options"], step["guess"]["right"]
        page.get_by_text(options[right], exact=True).click()
        page.get_by_text(step["guess"]["why"][right]).wait_for()
        wait_until_idle(page)
    for key in PRESSED.get((lesson.id, screen), []):
        click(page.get_by_role("button", name=said(words, key), exact=True))


def overflow(page: Page, when: str) -> list[str]:
    down, across = page.evaluate(OVERFLOW)
    return [f"{when}: {down} px down, {across} px across"] if max(down, across) > 1 else []


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.id)
@pytest.mark.parametrize(
    ("language", "scheme", "view"),
    [("en", "light", ""), ("zh", "dark", "&present=true")],
    ids=["en, light, for one", "zh, dark, for a class"],
)
def test_every_step_fits_a_screen_and_is_accessible(
    browser: Browser,
    server: str,
    tmp_path: Path,
    lesson: Lesson,
    language: str,
    scheme: Any,
    view: str,
) -> None:
    """A screen of 1280 × 800 pixels."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    page.set_default_timeout(120_000)
    words, wrong = texts(language), []
    page.goto(f"{server}/{lesson.id}?lang={language}{view}")
    title = f"{lesson.number} · {words[lesson.id]['title']}"
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    wait_until_idle(page)
    bring_photo(page, words, tmp_path / "mine.jpg")
    steps = page.get_by_role("radiogroup", name=words["lesson"]["step"], exact=True)
    for number, screen in enumerate(lesson.screens, start=1):
        if number > 1:
            page.locator(".st-key-next button").click()
        expect(steps.get_by_role("radio", name=str(number), exact=True)).to_be_checked()
        wait_until_idle(page)
        wrong += overflow(page, f"{screen} at first")
        show_figure(page, words, lesson, screen)
        wrong += overflow(page, f"{screen} with its figure")
        expect(page.get_by_test_id("stException")).to_have_count(0)
        if number in (2, len(lesson.screens)):  # it takes seconds
            wrong += [f"{screen}: {found}" for found in serious(page)]
    expect(page.get_by_role("heading", name=words["lesson"]["check"])).to_be_visible()
    page.close()
    assert not wrong, "\n".join(wrong)
