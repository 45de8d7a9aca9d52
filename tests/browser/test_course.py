"""What there is around the lessons, in a real Chromium."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from waiting import click, wait_until_idle

from vitviz.ui.course.exam import questions
from vitviz.ui.visit.language import texts

SCROLLED = "document.querySelector('[data-testid=stMain]').scrollTop"


def test_answers_are_there_again_after_a_reload(page: Page, light_server: str) -> None:
    guess = texts("en")["attention"]["scale"]["guess"]
    page.goto(f"{light_server}/attention?step=3")
    wait_until_idle(page)
    page.get_by_text(guess["options"][1], exact=True).click()
    expect(page.get_by_text(guess["why"][1])).to_be_visible()
    wait_until_idle(page)
    page.reload()
    expect(page.get_by_text(guess["why"][1])).to_be_visible()
    wait_until_idle(page)
    page.goto(light_server)
    expect(page.get_by_text("1 of 4 answered")).to_be_visible()
    wait_until_idle(page)


def test_a_page_knows_which_it_is_before_what_its_browser_kept_is_asked_for(
    page: Page, light_server: str
) -> None:
    """Else the answer asks for a page without a name, and the start page comes."""
    parts: list[str] = []

    def hear(frame: bytes | str) -> None:
        assert isinstance(frame, bytes)
        message = ForwardMsg.FromString(frame)
        component = message.delta.new_element.bidi_component.component_name
        parts.append(component or str(message.WhichOneof("type")))

    page.on("websocket", lambda socket: socket.on("framereceived", hear))
    page.goto(f"{light_server}/attention")
    wait_until_idle(page)
    assert parts.index("navigation") < parts.index("vitviz_browser_memory")


def test_a_term_opens_the_glossary_beside_the_lesson(page: Page, light_server: str) -> None:
    page.goto(f"{light_server}/attention?step=2&lang=zh")
    wait_until_idle(page)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="点积").click()
    name = texts("zh")["glossary"]["terms"]["dot_product"]["name"]
    expect(opened.value.locator(".st-key-terms strong").first).to_have_text(name)
    opened.value.close()


def test_an_exam_stays_where_it_is_until_it_is_handed_in(page: Page, light_server: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{light_server}/exam?draw=7")
    wait_until_idle(page)
    number, asked = list(questions(7, "en").items())[20]
    choice = page.locator(f".st-key-exam_7_{number}").get_by_text(asked["options"][0], exact=True)
    choice.scroll_into_view_if_needed()
    before = page.evaluate(SCROLLED)
    click(choice)
    assert abs(page.evaluate(SCROLLED) - before) < 5
    assert before > 1000
    click(page.get_by_role("button", name=texts("en")["exam"]["hand_in"]))
    page.wait_for_function(f"{SCROLLED} === 0")
