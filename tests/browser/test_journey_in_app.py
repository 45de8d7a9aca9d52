"""The journey in a real Chromium: the app's page."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from journey_pages import (
    COLUMNS,
    SAMPLE,
    assert_classes,
    assert_said,
    cell,
    open_block,
    place,
)
from playwright.sync_api import Page, expect
from timm.models import save_for_hf
from waiting import wait_until_idle

import vitviz
from vitviz.inside.lens import logit_lens, residual_stream


@pytest.fixture(scope="session")
def layered(own_models: Path) -> str:
    """A model whose layers have windows, in the server's folder; its name."""
    torch.manual_seed(0)
    sizes = {"depths": (1, 1, 1, 1), "embed_dim": 24}
    module = timm.create_model("swin_tiny_patch4_window7_224", **sizes)
    save_for_hf(module, own_models / "layered", model_args=sizes, safe_serialization=True)
    return "layered"


class TestInTheApp:
    def go(self, page: Page, server: str, **address: str) -> None:
        query = "&".join(f"{name}={value}" for name, value in address.items())
        page.goto(f"{server}/journey?{query}")
        expect(page.locator(".follow")).to_contain_text("Following: ")
        wait_until_idle(page)

    def test_it_shows_the_librarys_numbers(
        self, page: Page, server: str, rec: vitviz.Recording
    ) -> None:
        self.go(page, server, sample=SAMPLE)
        expect(page.locator(".classes h2")).to_have_text("At the end: class token")
        assert_classes(page, rec.values(rec.logits), rec)

    def test_a_patch_and_a_block_come_from_the_server(
        self, page: Page, server: str, rec: vitviz.Recording
    ) -> None:
        self.go(page, server, sample=SAMPLE)
        page.mouse.click(*place(page, 5, 7))
        expect(page.locator(".follow")).to_contain_text("Following: patch 5,7")
        open_block(page, 4)
        token, stream = 1 + 5 * COLUMNS + 7, residual_stream(rec)
        for station, vector in (
            ("residual", stream.states[5, token]),
            ("mlp", stream.mlp[4, token]),
            ("projection", stream.attention[4, token]),
        ):
            length = page.locator(f".station-{station} small")
            expect(length).to_have_text(f"384 numbers, length {float(vector.norm()):.1f}")
        page.locator(".matrix-button").first.click()
        page.mouse.move(*cell(page, token, 41))
        expect(page.locator(".readout")).to_contain_text("patch 5,7 → patch 2,8: ")
        assert_said(page.locator(".readout").inner_text(), float(rec.attention(4)[0, token, 41]))

    def test_two_quick_questions_are_both_answered(self, page: Page, server: str) -> None:
        """A block is opened and, before its answer can be there, another patch is followed."""
        self.go(page, server, sample=SAMPLE)
        page.locator(".scene").evaluate(
            """(scene) => {
                const root = scene.getRootNode()
                const press = (key) => scene.dispatchEvent(new KeyboardEvent("keydown", { key }))
                root.querySelector("button[title='Open block 7']").click()
                press("ArrowUp")
                press("Enter")
            }"""
        )
        expect(page.locator(".follow")).to_contain_text("Following: patch 7,8")
        expect(page.locator(".station")).to_have_count(8)
        expect(page.locator(".station-residual small")).to_contain_text("384 numbers")
        expect(page.locator(".detail")).not_to_have_attribute("aria-busy", "true")

    def test_another_photo_and_another_language(self, page: Page, server: str) -> None:
        self.go(page, server, sample=SAMPLE)
        open_block(page, 3)
        expect(page.locator(".class-rows")).to_contain_text("Egyptian cat")
        page.get_by_role("button", name="Coffee", exact=True).click()
        expect(page.locator(".class-rows")).to_contain_text("espresso")
        expect(page.locator(".detail")).to_be_empty()
        expect(page.locator(".journey")).to_have_count(1)
        wait_until_idle(page)
        open_block(page, 3)
        wait_until_idle(page)
        page.get_by_role("button", name="中文").click()
        expect(page.locator(".journey .play")).to_have_text("播放")
        expect(page.locator(".class-rows")).to_contain_text("浓缩咖啡")

    def test_a_layered_model_is_followed_on_its_layers_own_grids(
        self, page: Page, server: str, layered: str, own_models: Path
    ) -> None:
        vit = vitviz.load_model(own_models / layered)
        rec = vitviz.record(vit, vitviz.samples()[0].path)  # the cat
        self.go(page, server, model=layered, sample=SAMPLE)
        expect(page.locator(".classes h2")).to_have_text("What the model says at the end")
        best = rec.predictions[0]
        expect(page.locator(".class-rows li").first).to_contain_text(best.label)
        page.mouse.click(*place(page, 20, 41, columns=56))
        expect(page.locator(".follow")).to_contain_text("Following: patch 20,41")
        page.get_by_role("button", name="Open block 2", exact=True).click()
        expect(page.locator(".head-button")).to_have_count(12)
        expect(page.locator(".detail")).to_contain_text("windows or grids of their own")
        seen = rec.attention(2).mean(dim=0)[5 * 14 + 10]  # the patch of 14 × 14 that contains it
        most = int(seen.argmax())
        expect(page.locator(".status")).to_contain_text(
            f"most of all patch {most // 14},{most % 14} of 14 × 14"
        )
        expect(page.get_by_test_id("stException")).to_have_count(0)

    def test_nothing_sticks_out_of_a_phone(self, page: Page, server: str) -> None:
        page.set_viewport_size({"width": 390, "height": 844})
        self.go(page, server, sample=SAMPLE)
        open_block(page, 3)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator(".matrix-button").first.click()
        expect(page.locator(".marks")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


class TestOnTheStartPage:
    """The first thing that a visitor sees."""

    def go(self, page: Page, server: str) -> None:
        page.goto(server)
        expect(page.locator(".follow")).to_contain_text("Following: ")
        wait_until_idle(page)

    def test_the_first_samples_journey_is_there(
        self, page: Page, server: str, rec: vitviz.Recording
    ) -> None:
        self.go(page, server)
        assert_classes(page, rec.values(rec.logits), rec)
        page.get_by_role("slider", name="Time in the forward pass").fill("4")
        expect(page.locator(".classes h2")).to_have_text("Read after block 2: class token")
        assert_classes(page, rec.values(logit_lens(rec, residual_stream(rec)))[3], rec)

    def test_it_is_opened_and_another_photo_is_taken(self, page: Page, server: str) -> None:
        self.go(page, server)
        open_block(page, 4)
        expect(page.locator(".station-residual small")).to_contain_text("384 numbers")
        page.get_by_role("button", name="Coffee", exact=True).click()
        expect(page.locator(".class-rows")).to_contain_text("espresso")
        expect(page.locator(".detail")).to_be_empty()
        wait_until_idle(page)
        page.get_by_role("link", name="Start with lesson 0").click()
        page.wait_for_url("**/idea**sample=coffee**")

    def test_a_phones_first_screen_shows_it(self, page: Page, server: str) -> None:
        page.set_viewport_size({"width": 390, "height": 844})
        self.go(page, server)
        box = page.locator(".scene").bounding_box()
        assert box
        assert box["y"] < 844 / 2
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
