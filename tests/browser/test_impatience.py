"""A visitor who clicks on while the files that were brought are still being opened."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Response, expect
from waiting import wait_until_idle

from vitviz.ui.visit.language import texts

EN = texts("en")
RUN = EN["training"]["run"]


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A photo that takes a moment to open."""
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 2400, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "slow.png", compress_level=1)
    return tmp_path / "slow.png"


def bring(page: Page, photos: list[Path]) -> None:
    """Until the server has them, and before it has opened them."""
    arrived = count(1)

    def is_last(answer: Response) -> bool:
        uploaded = "/upload_file/" in answer.url and answer.request.method == "PUT"
        return uploaded and next(arrived) == len(photos)

    with page.expect_response(is_last):
        page.locator("input[type=file]").set_input_files(photos)


def test_the_photo_is_shown_in_the_step_that_is_opened_meanwhile(
    page: Page, server: str, slow: Path
) -> None:
    page.goto(f"{server}/tokens?sample=coffee")
    wait_until_idle(page)
    page.get_by_role("button", name=EN["photo"]["own"]).click()
    bring(page, [slow])
    page.locator(".st-key-next button").click()
    mine = page.get_by_role("button", name=EN["photo"]["yours"], exact=True)
    expect(mine).to_have_attribute("aria-pressed", "true")
    wait_until_idle(page)
    expect(mine).to_have_attribute("aria-pressed", "true")
    steps = page.get_by_role("radiogroup", name=EN["lesson"]["step"], exact=True)
    expect(steps.get_by_role("radio", name="2", exact=True)).to_be_checked()
    assert "sample=" not in page.url


def test_all_photos_of_a_class_are_taken(page: Page, server: str, slow: Path) -> None:
    page.goto(f"{server}/training?step=5")
    wait_until_idle(page)
    page.get_by_role("button", name=RUN["own"]).click()
    page.locator("input[type=file]").wait_for(state="attached")
    wait_until_idle(page)
    bring(page, [slow, slow, slow, slow])
    page.get_by_role("button", name=RUN["train"], exact=True).click(force=True)
    page.get_by_text(RUN["one_class"]).wait_for()
    wait_until_idle(page)
    expect(page.get_by_test_id("stMain").get_by_text("Class 1 4", exact=True)).to_be_visible()


def test_samples_are_taken_before_they_are_trained_on(page: Page, server: str) -> None:
    page.goto(f"{server}/training?step=5")
    wait_until_idle(page)
    page.get_by_role("button", name=RUN["take"], exact=True).click()
    # Of two clicks before the server has begun with the first, Streamlit forgets that one.
    page.locator("[data-testid=stApp][data-test-script-state=running]").wait_for()
    page.get_by_role("button", name=RUN["train"], exact=True).click()
    expect(page.get_by_text(RUN["last_loss"])).to_be_visible()
