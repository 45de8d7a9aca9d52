"""A live class in real browsers: a teacher and three students, on two servers that share Redis."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import light_app
import pytest
from axe import serious
from playwright.sync_api import Browser, BrowserContext, Page, expect
from redis_server import redis_server
from serving import served
from waiting import click, wait_until_idle

from vitviz.ui.visit.language import texts

WORDS = texts("en")["classroom"]
GUESS = texts("en")["attention"]["scale"]["guess"]
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two servers of one class."""
    with redis_server(tmp_path_factory.mktemp("redis")) as (url, _):
        program, settings = [str(Path(light_app.__file__))], {"VITVIZ_REDIS_URL": url}
        with served(program, settings) as first, served(program, settings) as second:
            yield first, second


@pytest.fixture
def people(browser: Browser) -> Iterator[list[BrowserContext]]:
    """A teacher's computer, two students' phones, one by night, and a student's computer."""
    found = [
        browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        for size, scheme in ((DESK, "light"), (PHONE, "light"), (PHONE, "dark"), (DESK, "dark"))
    ]
    for one in found:
        one.set_default_timeout(120_000)
    yield found
    for one in found:
        one.close()


def open_class(teacher: Page, address: str) -> str:
    """On the step before a question; the code."""
    teacher.goto(f"{address}/attention?step=2")
    wait_until_idle(teacher)
    teacher.get_by_role("button", name=WORDS["menu"], exact=True).click()
    teacher.get_by_role("button", name=WORDS["open"], exact=True).click()
    return teacher.locator(".invitation b").inner_text()


def join(student: Page, address: str, code: str, name: str) -> None:
    student.goto(f"{address}/class?code={code}")
    wait_until_idle(student)
    student.get_by_label(WORDS["nickname"]).fill(name)
    student.get_by_role("button", name=WORDS["join"], exact=True).click()
    expect(student.locator(".st-key-class_bar")).to_be_visible()
    wait_until_idle(student)


def step(page: Page, number: int) -> None:
    """The page is, or comes, at this step."""
    steps = page.get_by_role("radiogroup", name="Step", exact=True)
    expect(steps.get_by_role("radio", name=str(number), exact=True)).to_be_checked()


def chosen(page: Page, option: str, count: int) -> None:
    """The teacher's page shows, or comes to show, that so many chose this."""
    expect(page.get_by_text(f"{option} · {count}", exact=True)).to_be_visible()


def menu(teacher: Page) -> None:
    """Open it, if it is not."""
    if not teacher.locator(".invitation").is_visible():
        teacher.locator(".st-key-class_menu button").first.click()


def test_a_class_is_taught(
    servers: tuple[str, str], people: list[BrowserContext], tmp_path: Path
) -> None:
    here, there = servers
    teacher, ada, bo, cy = (one.new_page() for one in people)
    code = open_class(teacher, here)
    for student, address, name in ((ada, there, "Ada"), (bo, here, "Bo"), (cy, there, "")):
        join(student, address, code, name)
        step(student, 2)
    expect(teacher.locator(".st-key-class_menu")).to_contain_text("3")
    assert not serious(teacher)
    teacher.keyboard.press("Escape")

    teacher.locator(".st-key-next button").click()
    for student in (ada, bo, cy):
        step(student, 3)
        expect(student.get_by_text(texts("en")["lesson"]["answer_first"])).to_be_visible()
    right, wrong = GUESS["options"][GUESS["right"]], GUESS["options"][0]
    for number, student in enumerate((ada, bo), start=1):
        student.get_by_text(right, exact=True).click()
        chosen(teacher, right, number)
    cy.get_by_text(wrong, exact=True).click()
    chosen(teacher, wrong, 1)
    expect(ada.get_by_text(WORDS["handed_in"])).to_be_visible()
    assert not serious(cy)

    teacher.reload()  # loses nothing
    expect(teacher.locator(".st-key-class_menu")).to_contain_text("3")
    chosen(teacher, right, 2)
    people[3].close()  # a student is lost
    bo.reload()
    expect(bo.locator(".st-key-class_bar")).to_contain_text(code)
    step(bo, 3)

    wait_until_idle(teacher)
    teacher.get_by_role("button", name=WORDS["reveal"], exact=True).click()
    for page in (teacher, ada, bo):
        expect(page.get_by_text(GUESS["why"][GUESS["right"]])).to_be_visible()
        expect(page.get_by_role("slider").first).to_be_visible()
    expect(teacher.locator(".st-key-class_menu")).to_contain_text("2")

    wait_until_idle(ada)
    photo = ada.locator(".patch-map > canvas")
    box = photo.bounding_box()
    assert box is not None
    photo.click(position={"x": 0.4 * box["width"], "y": 0.4 * box["height"]})
    expect(ada.get_by_role("button", name=WORDS["show_patch"])).to_be_enabled()
    wait_until_idle(ada)
    click(ada.get_by_role("button", name=WORDS["raise"]))
    click(ada.get_by_role("button", name=WORDS["show_patch"]))
    menu(teacher)
    patch = teacher.get_by_role("button", name="Ada: ")
    expect(patch).to_be_visible()
    place = patch.inner_text().rpartition(" ")[2]
    patch.click()
    teacher.wait_for_url(f"**patch={place.replace(',', '*')}**")

    menu(teacher)
    with teacher.expect_download() as download:
        teacher.get_by_role("button", name=WORDS["answers"]).click()
    download.value.save_as(tmp_path / "answers.csv")
    rows = list(csv.DictReader((tmp_path / "answers.csv").open(encoding="utf-8-sig")))
    assert sorted(row["answer"] for row in rows) == sorted([right, right, wrong])
    assert not any("Ada" in text for row in rows for text in row.values())
    teacher.get_by_role("button", name=WORDS["end"], exact=True).click()
    for student in (ada, bo):
        expect(student.locator(".st-key-class_bar")).to_have_count(0)
        expect(student.get_by_test_id("stException")).to_have_count(0)
    ada.reload()
    wait_until_idle(ada)
    expect(ada.locator(".st-key-class_bar")).to_have_count(0)
