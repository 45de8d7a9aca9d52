"""A recording shows itself in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser

import timm
from families import make_photo
from journeys import recorded

import vitviz
from vitviz.journey.page import page


class Frame(HTMLParser):
    """The attributes of the one element that there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_it_is_the_page_in_a_frame() -> None:
    rec = recorded("vit")
    [(tag, attributes)] = Frame(rec._repr_html_()).found
    assert tag == "iframe"
    assert attributes["srcdoc"] == page(rec)


def test_a_model_without_a_journey_says_why() -> None:
    module = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24)
    vit = vitviz.from_module(module, name="<b>swin</b>")
    shown = vitviz.record(vit, make_photo())._repr_html_()
    assert "does not have one map over all tokens" in shown
    assert [tag for tag, _ in Frame(shown).found] == ["p"]
