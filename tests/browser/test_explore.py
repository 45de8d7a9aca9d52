"""The Explore page's main paths in a real browser."""

from __future__ import annotations

import re
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from waiting import a_run, click, wait_until_idle

import vitviz


def open_page(page: Page, address: str) -> Locator:
    """The photo's canvas once the page is idle and drawn."""
    page.goto(address)
    wait_until_idle(page)
    canvas = page.locator(".patch-map > canvas")
    expect(page.locator(".patch-map output")).not_to_be_empty()
    return canvas


def pixels(canvas: Locator) -> np.ndarray:
    """What the visitor sees of the canvas."""
    return np.asarray(Image.open(BytesIO(canvas.screenshot())).convert("RGB")).astype(int)


def redrawn(canvas: Locator, before: np.ndarray) -> np.ndarray:
    """What the visitor sees as soon as it differs."""
    for _ in range(300):
        now = pixels(canvas)
        if np.abs(now - before).mean() > 1:
            return now
        canvas.page.wait_for_timeout(100)
    pytest.fail("the map did not change")


def coffee() -> bytes:
    return next(s.path for s in vitviz.samples() if s.id == "coffee").read_bytes()


def upload(page: Page, path: Path) -> None:
    page.get_by_role("button", name="Your own photo").click()
    page.locator("input[type=file]").set_input_files(path)


def bring(page: Page, event: str, data: bytes, size: int = 0) -> None:
    """Paste or drop a JPEG on the page, filled up to a number of bytes in the browser."""
    page.evaluate(
        """([event, data, size]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0))
            const rest = new Uint8Array(Math.max(0, size - bytes.length))
            const carried = new DataTransfer()
            carried.items.add(new File([bytes, rest], "brought.jpg", { type: "image/jpeg" }))
            const how = { bubbles: true, cancelable: true }
            document.body.dispatchEvent(
                event === "paste"
                    ? new ClipboardEvent("paste", { ...how, clipboardData: carried })
                    : new DragEvent("drop", { ...how, dataTransfer: carried }))
        }""",
        [event, b64encode(data).decode(), size],
    )


def test_opens_with_a_sample_analysed(page: Page, server: str) -> None:
    plain = pixels(open_page(page, f"{server}/explore?strength=0"))
    assert plain.std() > 10  # a picture, not a blank
    redrawn(open_page(page, f"{server}/explore"), plain)
    expect(page.get_by_text("What it sees")).to_be_visible()


def test_an_uploaded_photo_is_analysed(page: Page, server: str, tmp_path: Path) -> None:
    open_page(page, f"{server}/explore")
    photo = tmp_path / "mine.png"
    Image.open(BytesIO(coffee())).save(photo)
    upload(page, photo)
    expect(page.get_by_text("espresso", exact=True)).to_be_visible()
    wait_until_idle(page)
    # A sample in between does not lose it.
    click(page.get_by_role("button", name="Tower"))
    expect(page.get_by_text("espresso", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Your photo").click()
    expect(page.get_by_text("espresso", exact=True)).to_be_visible()


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_photo_is_brought_to_the_page(page: Page, server: str, event: str) -> None:
    open_page(page, f"{server}/explore")
    bring(page, event, coffee())
    expect(page.get_by_text("espresso", exact=True)).to_be_visible()


def test_a_large_photo_is_pasted_whole(page: Page, server: str) -> None:
    """24 MB, just under the limit; and one over it gets its sentence."""
    open_page(page, f"{server}/explore")
    bring(page, "paste", coffee(), 24 * 2**20)
    expect(page.get_by_text("espresso", exact=True)).to_be_visible()
    wait_until_idle(page)
    bring(page, "paste", coffee(), 26 * 2**20)
    expect(page.get_by_text("larger than 25 MB")).to_be_visible()


def test_the_camera_takes_a_photo(page: Page, server: str) -> None:
    open_page(page, f"{server}/explore")
    page.get_by_role("button", name="Your own photo").click()
    page.get_by_role("radio", name="Camera").click()
    page.wait_for_function("document.querySelector('video')?.readyState === 4")
    page.get_by_role("button", name="Take Photo").click()
    expect(page.get_by_role("button", name="Your photo")).to_be_visible()


def test_an_address_inside_is_refused(page: Page, server: str) -> None:
    open_page(page, f"{server}/explore")
    page.get_by_role("button", name="Your own photo").click()
    page.get_by_role("radio", name="Web address").click()
    page.get_by_label("Address of a photo").fill(f"{server}/favicon.png")
    page.get_by_role("button", name="Get the photo").click()
    expect(page.get_by_text("inside a private network")).to_be_visible()


def test_a_bad_file_gets_one_sentence(page: Page, server: str, tmp_path: Path) -> None:
    open_page(page, f"{server}/explore")
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a photo")
    upload(page, bad)
    expect(page.get_by_text("This is not an image")).to_be_visible()
    expect(page.get_by_text("neither stored nor shown")).to_be_hidden()  # with the menu
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_nothing_is_fetched_from_elsewhere(page: Page, server: str) -> None:
    """A classroom without a network sees the same page."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_page(page, f"{server}/explore")
    assert [url for url in asked if not url.startswith((server, "blob:", "data:"))] == []


def test_a_click_on_a_patch_makes_it_the_query(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/explore?sample=cat-and-coffee&method=attention")
    before = pixels(canvas)
    box = canvas.bounding_box()
    assert box is not None
    # The sample is square and the whole of it is the model's input: 16 × 16 patches.
    side = min(box["width"], box["height"])
    canvas.click(position={"x": side * 3.5 / 16, "y": side * 7.5 / 16})
    expect(page.get_by_role("textbox", name="Query")).to_have_value("7,3")
    page.mouse.move(0, 0)
    expect(page.locator(".patch-map output")).to_contain_text("row 7, column 3")
    page.wait_for_url(re.compile("query=7(,|%2C)3"))
    redrawn(canvas, before)


def test_hovering_explores_without_the_server(page: Page, server: str) -> None:
    sent: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    canvas = open_page(page, f"{server}/explore?sample=cat-and-coffee&method=attention")
    before, asked = pixels(canvas), len(sent)
    assert asked
    canvas.hover(position={"x": 100, "y": 250})
    expect(page.locator(".patch-map output")).to_contain_text("where this patch looks")
    redrawn(canvas, before)
    assert len(sent) == asked


def test_other_colours_need_no_numbers_from_the_server(page: Page, server: str) -> None:
    fetched: list[str] = []
    canvas = open_page(page, f"{server}/explore?sample=cat&method=attention&view=all")
    expect(page.locator(".map-sheet button")).to_have_count(84)
    page.get_by_role("button", name="Appearance").click()
    wait_until_idle(page)
    before, small = pixels(canvas), page.locator(".map-sheet canvas").first
    small_before = pixels(small)
    page.on("request", lambda request: fetched.append(request.url))
    page.get_by_role("combobox", name="Colour map").click()
    page.get_by_role("option", name="viridis").click()
    redrawn(canvas, before)
    redrawn(small, small_before)
    wait_until_idle(page)
    assert [url for url in fetched if not url.startswith("blob:")] == []


def test_arrow_keys_move_the_query(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/explore?method=attention&query=4,4")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("textbox", name="Query")).to_have_value("5,5")
    readout = page.locator(".patch-map output")
    expect(readout).to_contain_text("now showing where this patch looks")
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="Query")).to_have_value("")
    expect(readout).to_have_text("from the class token")


def test_layer_and_head_change_the_map(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/explore")
    first = pixels(canvas)
    page.get_by_role("slider", name="Layer").focus()
    page.keyboard.press("Home")
    page.wait_for_url(re.compile("attention_layer=0"))
    second = redrawn(canvas, first)
    wait_until_idle(page)
    page.get_by_role("radiogroup", name="Head").get_by_text("4", exact=True).click()
    page.wait_for_url(re.compile("attention_head=4"))
    redrawn(canvas, second)


def test_a_click_on_the_sheet_opens_its_layer_and_head(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/explore")
    before = pixels(canvas)
    expect(page.locator(".map-sheet button")).to_have_count(7)
    page.get_by_role("radio", name="All", exact=True).click()
    expect(page.locator(".map-sheet button")).to_have_count(84)
    wait_until_idle(page)
    page.get_by_role("button", name="Layer 4, head 2").click()
    page.wait_for_url(re.compile("attention_layer=4&attention_head=2"))
    expect(page.get_by_role("button", name="Layer 4, head 2")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.evaluate("window.scrollTo(0, 0)")
    redrawn(canvas, before)


def test_one_scale_is_the_same_for_every_layer(page: Page, server: str) -> None:
    def ends_of_first_and_last(address: str) -> list[list[str]]:
        open_page(page, f"{server}/explore?attention_layer=0{address}")
        first = [page.locator(f".patch-map .{end}").inner_text() for end in ("low", "high")]
        page.get_by_role("slider", name="Layer").focus()
        with a_run(page):
            page.keyboard.press("End")
        expect(page.get_by_role("slider", name="Layer")).to_have_value("11")
        expect(page).not_to_have_url(re.compile("attention_layer"))  # the server knows, too
        wait_until_idle(page)
        last = [page.locator(f".patch-map .{end}").inner_text() for end in ("low", "high")]
        return [first, last]

    first, last = ends_of_first_and_last("&shared=true")
    assert [end.removeprefix("≥ ") for end in first] == [end.removeprefix("≥ ") for end in last]
    assert first[0] == "0.0000"
    first, last = ends_of_first_and_last("")
    assert first != last


def test_files_to_take_away(page: Page, server: str) -> None:
    def downloaded(name: str) -> Path:
        with page.expect_download() as started:
            page.get_by_role("button", name=name).click()
        return Path(started.value.path())

    open_page(page, f"{server}/explore")
    page.get_by_role("button", name="Download").click()
    picture = Image.open(downloaded("This picture"))
    assert picture.size == Image.open(vitviz.samples()[0].path).size
    figure = Image.open(downloaded("All heads and layers"))
    assert min(figure.size) > 1000
    with np.load(downloaded("All attention maps")) as arrays:
        assert arrays["attention_11"].shape == (6, 257, 257)
        np.testing.assert_allclose(arrays["attention_3"].sum(axis=-1), 1, atol=1e-5)
        assert "Rows sum to 1" in str(arrays["readme"])


def test_the_models_input_is_drawn_when_asked_for(page: Page, server: str) -> None:
    open_page(page, f"{server}/explore")
    page.get_by_role("button", name="The model’s input").click()
    expect(page.get_by_role("img", name="224 × 224 px in 16 × 16 patches")).to_be_visible()


def test_nothing_sticks_out_of_the_screen(page: Page, server: str) -> None:
    """Also when a phone is turned, or a window made narrower."""
    canvas = open_page(page, f"{server}/explore").element_handle()
    for width in (1280, 768, 390, 844):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_function(
            """([canvas, width]) => {
                const { left, right } = canvas.getBoundingClientRect()
                const { scrollWidth, clientWidth } = document.documentElement
                return clientWidth === width && scrollWidth <= width && left >= 0 && right <= width
            }""",
            arg=[canvas, width],
        )


def test_a_method_without_a_query_takes_no_click(page: Page, server: str) -> None:
    canvas = open_page(page, f"{server}/explore?sample=cat-and-coffee&method=legrad")
    readout = page.locator(".patch-map output")
    expect(readout).to_have_text(re.compile("^for "))
    canvas.click(position={"x": 100, "y": 100})
    expect(readout).to_have_text(re.compile(r"row \d+, column \d+: [\d.e-]+ for "))
    page.mouse.move(0, 0)
    wait_until_idle(page)
    assert "query" not in page.url


def test_a_slow_method_shows_how_far_it_is_and_stops(page: Page, server: str) -> None:
    open_page(page, f"{server}/explore?sample=cat&method=attention")
    page.get_by_role("combobox", name="Method").click()
    page.get_by_role("option", name="Occlusion").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    wait_until_idle(page)
    expect(page.get_by_text("Where does this head look, in this layer?")).to_be_visible()
    expect(page.locator(".patch-map output")).to_have_text("from the class token")


def test_going_back_brings_the_last_photo_back(page: Page, server: str) -> None:
    open_page(page, f"{server}/explore?sample=cat")
    page.get_by_role("button", name="Tower").click()
    page.wait_for_url(re.compile("sample=tower"))
    expect(page.get_by_role("button", name="Tower")).to_have_attribute("aria-pressed", "true")
    wait_until_idle(page)
    page.go_back()
    page.wait_for_url(re.compile("sample=cat"))
    expect(page.get_by_role("button", name="Cat", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )


def test_a_photo_that_was_taken_closes_the_menu(page: Page, server: str, tmp_path: Path) -> None:
    open_page(page, f"{server}/explore")
    photo = tmp_path / "mine.jpg"
    photo.write_bytes(coffee())
    upload(page, photo)
    expect(page.get_by_text("espresso", exact=True)).to_be_visible()
    expect(page.locator("input[type=file]")).to_have_count(0)
    wait_until_idle(page)
    page.get_by_role("button", name="Your own photo").click()
    page.get_by_role("button", name="Remove your photo").click()
    expect(page.get_by_role("button", name="Your photo")).to_have_count(0)
    expect(page.get_by_text("espresso", exact=True)).to_have_count(0)


def test_arrow_keys_walk_over_the_sheet(page: Page, server: str) -> None:
    open_page(page, f"{server}/explore?view=all&attention_layer=3&attention_head=1")
    pressed = page.get_by_role("button", name="Layer 3, head 1")
    pressed.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Layer 4, head 1")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="Layer 4, head 2")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("attention_layer=4&attention_head=2"))
    expect(page.get_by_role("button", name="Layer 4, head 2")).to_be_focused()
    assert page.locator(".map-sheet button[tabindex='0']").count() == 1


@pytest.mark.parametrize("own", [True, False])
def test_every_method_runs(
    page: Page, server: str, flowers: str, own: bool, tmp_path: Path
) -> None:
    """On the photo with two subjects, and on one that was uploaded, in a small model."""
    open_page(page, f"{server}/explore?sample=cat-and-coffee&model={flowers}")
    if own:
        photo = tmp_path / "mine.jpg"
        photo.write_bytes(coffee())
        upload(page, photo)
        expect(page.get_by_role("button", name="Your photo")).to_be_visible()
        wait_until_idle(page)
    for method in (m for m in vitviz.METHODS.values() if not m.needs_pool):
        page.get_by_role("combobox", name="Method").click()
        page.get_by_role("option", name=method.title, exact=True).click()
        expect(page.get_by_text(method.question)).to_be_visible()
        wait_until_idle(page)
        expect(page.get_by_role("progressbar")).to_have_count(0)
        assert method.title in str(page.locator(".patch-map > canvas").get_attribute("aria-label"))
        expect(page.get_by_test_id("stAlert")).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)


def test_the_first_layer_stays_in_the_link(page: Page, server: str) -> None:
    """The last layer is the default, which a link leaves out; no other may be left out."""
    page.goto(f"{server}/explore?sample=coffee&view=layers")
    wait_until_idle(page)
    click(page.get_by_text("2", exact=True).first)
    page.get_by_role("button", name="Layer 0, head 2").click()
    page.wait_for_url("**attention_layer=0*")
    page.reload()
    expect(page.get_by_role("slider", name="Layer")).to_have_value("0")


@pytest.mark.parametrize(
    ("language", "menu", "camera", "words"),
    [
        ("en", "Your own photo", "Camera", ("Choose files", "25 MB per file", "Take photo")),
        ("zh", "用自己的照片", "相机", ("选择文件", "每个文件不超过 25 MB", "拍照")),
    ],
)
def test_streamlits_own_buttons_speak_the_visitors_language(
    page: Page, server: str, language: str, menu: str, camera: str, words: tuple[str, str, str]
) -> None:
    def seen(element: Locator) -> str:
        expect(element).to_have_css("font-size", "0px")  # Streamlit's own word
        return str(element.evaluate("(element) => getComputedStyle(element, '::after').content"))

    open_page(page, f"{server}/explore?lang={language}")
    page.get_by_role("button", name=menu).click()
    zone = page.get_by_test_id("stFileUploaderDropzone")
    shown = [seen(zone.locator("button p"))]
    shown.append(seen(page.get_by_test_id("stFileUploaderDropzoneInstructions").locator("span")))
    page.get_by_role("radio", name=camera).click()
    shown.append(seen(page.get_by_test_id("stCameraInputButton")))
    assert all(word in text for word, text in zip(words, shown, strict=True))
