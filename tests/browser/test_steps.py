"""Every step of every lesson in a real Chromium, on a visitor's own photo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from axe import serious
from PIL import Image
from playwright.sync_api import Browser, Page, TimeoutError, expect
from waiting import click, wait_until_idle

from vitviz.ui.course.lesson import Lesson
from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.visit.language import texts

# What has to be pressed before a step shows its figure.
PRESSED = {
    ("prediction", "judge"): ["prediction.judge.measure"],
    ("training", "run"): ["training.run.take", "training.run.train"],
    ("training", "entropy"): ["training.run.train"],
    ("cost", "timing"): ["cost.timing.run"],
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
    """What still stands over once the browser has fitted the figures, after it drew them."""
    try:
        page.wait_for_function(f"Math.max(...({OVERFLOW})()) <= 1", timeout=20_000)
    except TimeoutError:
        down, across = page.evaluate(OVERFLOW)
        return [f"{when}: {down} px down, {across} px across"]
    return []


class Visit(NamedTuple):
    """A visitor with an own photo, who goes from lesson to lesson."""

    page: Page
    words: Any
    presents: bool
    is_checked: bool

    def go_to(self, lesson: Lesson) -> None:
        self.present(False)  # in the presenter's view there is no menu
        self.page.get_by_role("button", name=self.words["nav"]["lessons"]).click()
        title = f"{lesson.number} · {self.words[lesson.id]['title']}"
        self.page.get_by_role("menuitem", name=title, exact=True).click()
        expect(self.page.get_by_role("heading", name=title, level=1)).to_be_visible()
        wait_until_idle(self.page)
        self.present(self.presents)

    def present(self, wanted: bool) -> None:
        if self.page.locator(".st-key-presenting").is_visible() != wanted:
            self.page.locator(".st-key-present label").click()
        view = ".st-key-presenting" if wanted else ".st-key-lesson"
        expect(self.page.locator(view)).to_be_visible()
        wait_until_idle(self.page)


class View(NamedTuple):
    """How a visitor sees the app, and whether axe looks at it: what axe finds in a view does not
    hang on the language."""

    language: str
    scheme: Any
    presents: bool
    is_checked: bool


@pytest.fixture(
    scope="module",
    params=[
        View("en", "light", presents=False, is_checked=True),
        View("en", "dark", presents=True, is_checked=False),
        View("zh", "dark", presents=True, is_checked=True),
    ],
    ids=["en, light, for one", "en, dark, for a class", "zh, dark, for a class"],
)
def view(request: pytest.FixtureRequest) -> View:
    found: View = request.param
    return found


@contextmanager
def visiting(browser: Browser, server: str, view: View, photo: Path) -> Iterator[Visit]:
    """On a screen of 1280 × 800 pixels."""
    page = browser.new_page(
        viewport={"width": 1280, "height": 800}, color_scheme=view.scheme, reduced_motion="reduce"
    )
    page.set_default_timeout(120_000)
    page.goto(f"{server}/{lessons()[0].id}?lang={view.language}")
    wait_until_idle(page)
    bring_photo(page, words := texts(view.language), photo)
    yield Visit(page, words, view.presents, view.is_checked)
    page.close()


@pytest.fixture(scope="module")
def visit(browser: Browser, light_server: str, view: View, photo: Path) -> Iterator[Visit]:
    """Where the light model is shown: how large a figure is does not hang on its numbers."""
    with visiting(browser, light_server, view, photo) as visit:
        yield visit


@pytest.fixture(scope="module")
def bundled_visit(browser: Browser, server: str, view: View, photo: Path) -> Iterator[Visit]:
    with visiting(browser, server, view, photo) as visit:
        yield visit


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("photo") / "mine.jpg"


@pytest.mark.parametrize(
    "lesson", [lesson for lesson in lessons() if lesson.id != "captions"], ids=lambda one: one.id
)
def test_every_step_fits_a_screen_and_is_accessible(visit: Visit, lesson: Lesson) -> None:
    walk(visit, lesson)


def test_captions_fit_a_screen_and_are_accessible(bundled_visit: Visit) -> None:
    """What leads from photos to words is the bundled model's."""
    walk(bundled_visit, next(lesson for lesson in lessons() if lesson.id == "captions"))


def walk(visit: Visit, lesson: Lesson) -> None:
    """Through all steps of a lesson."""
    visit.go_to(lesson)
    page, words, wrong = visit.page, visit.words, []
    mine = page.get_by_role("button", name=words["photo"]["yours"], exact=True)
    expect(mine).to_have_attribute("aria-pressed", "true")
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
        if visit.is_checked and number in (2, len(lesson.screens)):  # it takes seconds
            wrong += [f"{screen}: {found}" for found in serious(page)]
    expect(page.get_by_role("heading", name=words["lesson"]["check"])).to_be_visible()
    assert not wrong, "\n".join(wrong)
