"""Every step of every lesson on a screen of 1280 × 800 pixels, for one and for a class."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from vitviz.ui.course.page import lessons
from waiting import wait_until_idle

from vitviz.ui.course.lesson import Lesson
from vitviz.ui.visit.language import texts

WORDS = texts("en")
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
# px² of the largest figure in view.
FIGURE = """() => Math.max(0, ...[...document.querySelectorAll(
    ".st-key-stage :is(img, canvas, .stVegaLiteChart, .stDataFrame, .stTable, .predictions)"
)].map((figure) => {
    const { width, height } = figure.getBoundingClientRect()
    return width * height
}))"""


def said(key: str) -> str:
    found = WORDS
    for part in key.split("."):
        found = found[part]
    return str(found)


def answer(page: Page, lesson: Lesson, screen: str) -> None:
    """The right answer, where the step asks for one."""
    step = WORDS[lesson.id].get(screen, {})
    if "guess" in step:
        options, right = step["guess"]["options"], step["guess"]["right"]
        page.get_by_text(options[right], exact=True).click()
        page.get_by_text(step["guess"]["why"][right]).wait_for()
        wait_until_idle(page)


def walked(page: Page, address: str, lesson: Lesson) -> tuple[dict[str, float], list[str]]:
    """The size of each step's figure, and what is wrong with the steps."""
    page.goto(address)
    page.get_by_role("heading", level=1).wait_for()
    sizes, wrong = {}, []
    steps = page.get_by_role("radiogroup", name="Step", exact=True)
    for number, screen in enumerate(lesson.screens, start=1):
        if number > 1:
            page.get_by_role("button", name="Next", exact=True).click()
        expect(steps.get_by_role("radio", name=str(number), exact=True)).to_be_checked()
        wait_until_idle(page)
        for when in ("before", "after"):
            down, across = page.evaluate(OVERFLOW)
            if max(down, across) > 1:
                wrong.append(f"{screen} {when}: {down} px down, {across} px across")
            if when == "before":
                answer(page, lesson, screen)
                for key in PRESSED.get((lesson.id, screen), []):
                    page.get_by_role("button", name=said(key), exact=True).click()
                    wait_until_idle(page)
        sizes[screen] = page.evaluate(FIGURE)
        wrong += [
            f"{screen}: {each['id']} {node['html'][:200]}"
            for each in Axe().run(page).response["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
    return sizes, wrong


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.id)
def test_every_step_fits_and_is_larger_for_a_class(page: Page, server: str, lesson: Lesson) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    own, wrong = walked(page, f"{server}/{lesson.id}", lesson)
    assert not wrong, "\n".join(wrong)
    shown, wrong = walked(page, f"{server}/{lesson.id}?present=true", lesson)
    assert not wrong, "\n".join(wrong)
    smaller = {screen for screen in own if shown[screen] < own[screen]}
    assert not smaller, (own, shown)
