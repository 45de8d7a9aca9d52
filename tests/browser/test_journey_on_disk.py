"""The journey in a real Chromium: a page opened from disk, without a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journey_pages import (
    BLUE,
    COLUMNS,
    CONTRAST,
    GOLD,
    LEFT,
    TOP,
    assert_classes,
    assert_said,
    cell,
    classes,
    expect_colour,
    follow,
    open_block,
    open_head,
    place,
    side,
    state,
)
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

import vitviz
from vitviz.inside.attention_steps import head_steps
from vitviz.inside.lens import logit_lens, residual_stream
from vitviz.journey.page import Language, words
from vitviz.methods.lens import token_lens

Opener = Callable[..., Page]


@pytest.fixture(scope="session")
def files(rec: vitviz.Recording, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page in each language."""
    folder, made = tmp_path_factory.mktemp("pages"), {}
    languages: tuple[Language, ...] = ("en", "zh")
    for language in languages:
        made[language] = folder / f"{language}.html"
        vitviz.write_page(rec, made[language], [vitviz.explain(rec, "rollout")], language=language)
    return made


@pytest.fixture
def opened(browser: Browser, files: dict[str, Path]) -> Iterator[Opener]:
    """Opens a page's file in a browser that has no network. It does not move by itself, unless it
    is told to, and then it does so by a clock that is wound by hand. What a script or the console
    complains of fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def made(
        width: int = 1280, scheme: Any = "light", language: str = "en", moving: bool = False
    ) -> Page:
        contexts.append(
            browser.new_context(
                offline=True,
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
                reduced_motion="no-preference" if moving else "reduce",
                has_touch=width < 500,
            )
        )
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        if moving:
            page.clock.install(time=0)
            page.clock.pause_at(1000)
        page.goto(files[language].as_uri())
        page.wait_for_function("window.journey.state")  # until then it is the element
        return page

    yield made
    for context in contexts:
        context.close()
    assert not errors


class TestOnDisk:
    @pytest.mark.parametrize("language", ["en", "zh"])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    def test_every_view_opens_and_nothing_sticks_out(
        self, opened: Opener, width: int, scheme: str, language: Language
    ) -> None:
        page, said = opened(width, scheme, language), words(language)

        def fits() -> None:
            assert page.evaluate("document.documentElement.scrollWidth") <= width

        expect(page.get_by_role("heading", name=said["title"])).to_be_visible()
        expect(page.locator(".class-rows li:not(.gone)")).to_have_count(5)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(14, 17, 23)")
        assert page.locator(".play").evaluate(CONTRAST) >= 4.5
        fits()
        block = page.get_by_role("button", name=said["open_block"].format(block=3), exact=True)
        block.click()
        expect(page.locator(".station")).to_have_count(8)
        expect(page.get_by_role("heading", name=said["stations"]["norm"]["title"])).to_be_visible()
        fits()
        page.locator(".matrix-button").first.click()
        expect(page.locator(".marks")).to_be_visible()
        fits()
        page.get_by_role("button", name=said["open_number"]).click()
        expect(page.locator(".steps li")).to_have_count(4)
        fits()

    def test_the_classes_are_the_predictions(self, opened: Opener, rec: vitviz.Recording) -> None:
        page = opened()
        expect(page.locator(".classes h2")).to_have_text("At the end: class token")
        shown = classes(page)
        best = rec.predictions[:5]
        assert set(shown) == {prediction.label for prediction in best}
        for prediction in best:
            assert_said(shown[prediction.label], prediction.probability)
        rows = page.locator(".class-rows li:not(.gone)")
        tops = [rows.nth(i).bounding_box()["y"] for i in range(5)]  # type: ignore[index]
        names = [label for _, label in sorted(zip(tops, shown, strict=True))]
        assert names == [prediction.label for prediction in best]

    def test_the_slider_reads_the_lens(self, opened: Opener, rec: vitviz.Recording) -> None:
        page = opened()
        lens = rec.values(logit_lens(rec, residual_stream(rec)))
        slider = page.get_by_role("slider", name="Time in the forward pass")
        for time, block in ((4, 2), (9.4, 7), (13, 11)):
            slider.fill(str(time))
            heading = f"Read after block {block}" if block < 11 else "At the end"
            expect(page.locator(".classes h2")).to_have_text(f"{heading}: class token")
            assert_classes(page, lens[block + 1], rec)
        slider.press("Home")
        expect(page.locator(".status")).to_contain_text("16 × 16 = 256 patches")
        expect(page.locator(".classes h2")).to_contain_text("the same for every photo")
        assert_classes(page, lens[0], rec)
        slider.press("End")
        expect(page.locator(".status")).to_contain_text("gives every class a number")
        listed = page.get_by_role("complementary").get_by_role("listitem")
        expect(listed).to_have_count(5)  # for who hears them, too

    def test_a_patchs_rows_are_the_librarys(self, opened: Opener, rec: vitviz.Recording) -> None:
        gaze = opened().evaluate("window.journey.source.gaze('5,7').then((rows) => [...rows])")
        made = np.reshape(gaze, (rec.num_layers, rec.num_heads(0), rec.num_tokens))
        for layer in range(rec.num_layers):
            exact = rec.attention_row(layer, (5, 7)).numpy()
            np.testing.assert_allclose(made[layer], exact, rtol=0.05, atol=1e-4)
            np.testing.assert_allclose(made[layer].sum(axis=1), 1, rtol=1e-4)

    def test_a_patch_is_clicked_and_leads(self, opened: Opener, rec: vitviz.Recording) -> None:
        page = opened()
        left, top = LEFT + 7 * side(page) / COLUMNS, TOP + 5.5 * side(page) / COLUMNS
        follow(page, 5, 7)
        assert state(page)["leader"] == "5,7"
        expect_colour(page, left, top, GOLD)
        expect(page.locator(".classes h2")).to_have_text("At the end: patch 5,7")
        token = rec.num_prefix_tokens + 5 * COLUMNS + 7
        lens = token_lens(rec, residual_stream(rec).states[-1])
        assert_classes(page, rec.values(lens)[token], rec)
        page.get_by_role("button", name="Follow the class token again").click()
        expect(page.locator(".follow")).to_contain_text("Following: class token")

    def test_the_cursor_is_told_everywhere(self, opened: Opener, rec: vitviz.Recording) -> None:
        page = opened()
        page.mouse.move(*place(page, 3, 9))
        assert state(page)["hover"] == {"patch": "3,9", "photo": True}
        status = page.locator(".status")
        expect(status).to_contain_text("Block 11: class token → patch 3,9: ")
        token = 1 + 3 * COLUMNS + 9
        assert_said(status.inner_text(), float(rec.attention_row(11)[:, token].mean()))
        page.mouse.move(0, 0)
        expect(status).to_contain_text("gives every class a number")

    def test_a_phone_taps_a_patch(self, opened: Opener) -> None:
        page = opened(390)
        page.touchscreen.tap(*place(page, 5, 7))
        expect(page.locator(".follow")).to_contain_text("Following: patch 5,7")

    def test_a_phone_taps_the_photo_of_a_head(self, opened: Opener) -> None:
        page = opened(390)
        open_head(page, 5, 2)
        photo = page.locator(".head-photo")
        photo.tap(position={"x": 300 * 7.5 / COLUMNS, "y": 300 * 5.5 / COLUMNS})
        expect(page.locator(".readout")).to_contain_text("patch 5,7 → ")

    def test_the_matrix_and_the_photo_answer_the_cursor(
        self, opened: Opener, rec: vitviz.Recording
    ) -> None:
        page, exact = opened(), rec.attention(5)[2]
        open_head(page, 5, 2)
        readout, strongest = page.locator(".readout"), page.locator(".strongest li")
        for query, key in ((40, 41), (0, 150), (256, 0)):
            page.mouse.move(*cell(page, query, key))
            names = [
                "class token" if i == 0 else f"patch {(i - 1) // COLUMNS},{(i - 1) % COLUMNS}"
                for i in (query, key)
            ]
            expect(readout).to_contain_text(f"{names[0]} → {names[1]}: ")
            assert_said(readout.inner_text(), float(exact[query, key]))
            for text, value in zip(
                strongest.all_inner_texts(), exact[query].topk(5).values, strict=True
            ):
                assert_said(text, float(value))
        page.get_by_role("button", name="Who looks at it").click()
        for text, value in zip(
            strongest.all_inner_texts(), exact[:, 0].topk(5).values, strict=True
        ):
            assert_said(text, float(value))
        page.get_by_role("button", name="Where it looks").click()
        photo = page.locator(".head-photo")
        photo.scroll_into_view_if_needed()
        photo.hover(position={"x": 300 * 7.5 / COLUMNS, "y": 300 * 5.5 / COLUMNS})
        expect(readout).to_contain_text("patch 5,7 → class token: ")
        assert_said(readout.inner_text(), float(exact[1 + 5 * COLUMNS + 7, 0]))

    def test_a_number_is_taken_apart_as_the_library_does(
        self, opened: Opener, rec: vitviz.Recording
    ) -> None:
        page, key = opened(), 100
        open_head(page, 5, 2)
        page.mouse.click(*cell(page, 1 + 3 * COLUMNS + 4, key))
        steps = page.locator(".steps strong")
        expect(steps).to_have_count(4)
        exact = head_steps(rec, 5, 2, (3, 4))
        products, scores, exponentials, weights = steps.all_inner_texts()
        parts = exact.query * exact.keys[key]
        rounding = 2.0**-10 * float(parts.abs().sum())  # float16's, of a query and a key
        scale = float(exact.scores[key] / exact.products[key])
        assert abs(float(products) - float(exact.products[key])) <= rounding + 5e-4
        assert abs(float(scores) - float(exact.scores[key])) <= rounding * scale + 5e-4
        np.testing.assert_allclose(
            float(exponentials), float(exact.scores[key].exp()), rtol=2 * rounding * scale + 5e-4
        )
        assert_said(weights, float(exact.weights[key]))
        bars = page.locator(".products g")
        expect(bars).to_have_count(64)
        assert [bar.get_attribute("class") for bar in bars.all()] == [
            "negative" if part < 0 else "positive" for part in parts
        ]
        bars.nth(9).hover()
        expect(page.locator(".readout")).to_have_text(re.compile(r"^Dimension 9: "))
        told = [float(n) for n in re.findall(r"-?\d+\.\d+", page.locator(".readout").inner_text())]
        np.testing.assert_allclose(
            told, [exact.query[9], exact.keys[key, 9], parts[9]], rtol=2e-3, atol=1e-3
        )

    def test_a_block_shows_the_vectors_of_the_token_that_leads(
        self, opened: Opener, rec: vitviz.Recording
    ) -> None:
        page, stream = opened(), residual_stream(rec)
        open_block(page, 4)
        for token, own in ((0, True), (1 + 5 * COLUMNS + 7, False)):
            if token:
                page.evaluate("window.scrollTo(0, 0)")
                page.locator(".scene").focus()
                for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft"):  # from the middle, 8,8
                    page.keyboard.press(key)
                page.keyboard.press("Enter")
                expect(page.locator(".follow")).to_contain_text("Following: patch 5,7")
                expect(page.get_by_text("those of the class token are.")).to_be_visible()
            shown = page.locator(".station-residual small")
            expect(shown).to_have_count(1 if own else 0)
            if own:
                norm = float(stream.states[5, token].norm())
                expect(shown).to_have_text(f"384 numbers, length {norm:.1f}")
            query = page.locator(".station-qk small").first
            norm = float(rec.layers[4].query[0, 0, token].norm())  # type: ignore[union-attr]
            expect(query).to_have_text(f"64 numbers, length {norm:.1f}")


class TestMoving:
    def test_it_plays_to_the_end_by_itself(self, opened: Opener, rec: vitviz.Recording) -> None:
        page = opened(moving=True)
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.clock.run_for(5000)
        now = state(page)["time"]
        assert 2 < now < 6
        page.get_by_role("button", name="Pause").click()
        page.clock.run_for(1000)
        assert state(page)["time"] == pytest.approx(now, abs=0.2)
        page.get_by_role("button", name="Play").click()
        page.clock.run_for(20_000)
        expect(page.get_by_role("button", name="Play")).to_be_visible()
        assert state(page)["time"] == rec.num_layers + 2
        expect(page.locator(".classes h2")).to_have_text("At the end: class token")

    def test_a_phones_picture_moves_along(self, opened: Opener) -> None:
        page = opened(390, moving=True)
        assert page.evaluate("document.querySelector('.scroll').scrollLeft") == 0
        page.clock.run_for(20_000)
        assert page.evaluate("document.querySelector('.scroll').scrollLeft") > 390

    def test_the_tour(self, opened: Opener) -> None:
        page = opened(moving=True)
        page.get_by_role("button", name="Tour").click()
        caption = page.locator(".caption")
        leader = words("en")["class_token"]
        steps = [text.replace("{token}", leader) for text in words("en")["tour_steps"]]
        seen = []
        for number in range(1, 9):
            expect(caption).to_contain_text(f"{number}/8")
            seen.append(caption.locator("p").inner_text())
            page.clock.run_for(1000)
            if number == 4:
                expect(page.locator(".station")).to_have_count(8)
            if number == 5:
                expect(page.locator(".marks")).to_be_visible()
            if number < 8:
                page.get_by_role("button", name="Next").click()
        assert len(steps) == len(set(seen)) == 8
        for said, text in zip(seen, steps, strict=True):
            assert re.fullmatch(r"\d/8 " + re.sub(r"\\{\w+\\}", r"\\d+", re.escape(text)), said)
        back = caption.get_by_role("button", name="Back")
        back.click()
        expect(caption).to_contain_text("7/8")
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Done").click()
        expect(caption).to_be_empty()
        assert state(page)["tour"] is None

    def test_the_tour_goes_on_by_itself_for_ninety_seconds(self, opened: Opener) -> None:
        page = opened(moving=True)
        page.get_by_role("button", name="Tour").click()
        for number in range(1, 9):
            expect(page.locator(".caption")).to_contain_text(f"{number}/8")
            page.clock.run_for(11_000)
        expect(page.locator(".caption")).to_be_empty()

    def test_the_tour_ends_where_it_is_left(self, opened: Opener) -> None:
        page = opened(moving=True)
        page.get_by_role("button", name="Tour").click()
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Tour").click()
        expect(page.locator(".caption")).to_be_empty()
        page.clock.run_for(30_000)
        expect(page.locator(".caption")).to_be_empty()

    def test_it_jumps_where_motion_is_not_wanted(
        self, opened: Opener, rec: vitviz.Recording
    ) -> None:
        page = opened()
        assert state(page)["time"] == rec.num_layers + 2
        for block in range(3):
            page.get_by_role("button", name="Play").click()
            expect(page.locator(".status")).to_contain_text(f"Block {block}, attention: ")
        open_block(page, 5)
        small = page.evaluate("document.querySelector('.whole').style.height")
        page.keyboard.press("Escape")
        page.wait_for_function(f"document.querySelector('.whole').style.height !== '{small}'")


class TestWays:
    def test_back_and_escape_are_one_step(self, opened: Opener) -> None:
        page = opened()
        for back in (
            lambda: page.get_by_role("button", name="← Back").click(),
            lambda: page.keyboard.press("Escape"),
        ):
            open_head(page, 5, 2)
            page.get_by_role("button", name="Where this number comes from").click()
            expect(page.locator(".number-view")).to_be_visible()
            crumbs = page.locator(".crumbs button")
            expect(crumbs).to_have_text(["← Back", "The whole", "Block 5", "Head 2", "One number"])
            back()
            expect(page.locator(".head-view")).to_be_visible()
            expect(page.locator(".head-button").nth(2)).to_have_attribute("aria-pressed", "true")
            back()
            expect(page.locator(".block-view")).to_be_visible()
            expect(page.locator(".head-button").nth(2)).to_have_attribute("aria-pressed", "true")
            back()
            expect(page.locator(".detail")).to_be_empty()
            expect(crumbs).to_have_count(0)

    def test_the_keyboard_alone(self, opened: Opener) -> None:
        page = opened()

        def focused() -> Locator:
            return page.locator(":focus")

        def tab_to(target: Locator) -> None:
            for _ in range(40):
                if target.evaluate("(node) => node === document.activeElement"):
                    return
                page.keyboard.press("Tab")
            pytest.fail("not reached by Tab")

        page.keyboard.press("Tab")
        expect(focused()).to_have_text("Play")
        for name in ("slider", "Tour", "scene"):
            page.keyboard.press("Tab")
            del name
        expect(focused()).to_have_class("scene")
        page.keyboard.press("ArrowUp")
        expect(page.locator(".status")).to_contain_text("class token → patch 7,8: ")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".status")).to_contain_text("class token → patch 7,9: ")
        page.keyboard.press("Enter")
        expect(page.locator(".follow")).to_contain_text("Following: patch 7,9")
        tab_to(page.get_by_role("button", name="Open block 5", exact=True))
        page.keyboard.press("Enter")
        expect(page.locator(".station-softmax")).to_be_visible()
        tab_to(page.locator(".head-button").nth(2))
        page.keyboard.press("Enter")
        expect(page.locator(".head-button").nth(2)).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".head-button").nth(2)).to_be_focused()
        tab_to(page.locator(".matrix-button").first)
        page.keyboard.press("Enter")
        tab_to(page.locator(".marks"))
        page.keyboard.press("ArrowDown")
        expect(page.locator(".readout")).to_contain_text("patch 7,10 →")
        page.keyboard.press("Enter")
        expect(page.locator(".number-view")).to_be_visible()
        for shown in (".head-view", ".block-view"):
            page.keyboard.press("Escape")
            expect(page.locator(shown)).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".detail")).to_be_empty()
        expect(page.get_by_role("button", name="Open block 5", exact=True)).to_be_focused()

    def test_two_tokens_side_by_side(self, opened: Opener) -> None:
        page = opened()
        height = page.locator(".scene").evaluate("(canvas) => canvas.height")
        page.get_by_role("button", name="Compare with a patch").click()
        expect(page.get_by_role("button", name="Choose the second patch")).to_have_count(0)
        expect(page.get_by_role("button", name="Click the second patch")).to_be_visible()
        page.mouse.click(*place(page, 10, 3))
        expect(page.locator(".follow")).to_contain_text("Following: class token")
        expect(page.locator(".beside")).to_have_text("beside: patch 10,3")
        page.wait_for_function(f"document.querySelector('.scene').height > {height}")
        left, top = LEFT + 3 * side(page) / COLUMNS, TOP + 10.5 * side(page) / COLUMNS
        expect_colour(page, left, top, BLUE)
        page.get_by_role("button", name="Compare no more").click()
        expect(page.locator(".beside")).to_have_count(0)
        page.wait_for_function(f"document.querySelector('.scene').height === {height}")
