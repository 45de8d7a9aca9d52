"""Class names in the visitor's language, on every page but Compare (see test_compare_page)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pages import PATIENCE, at
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

PAGES = [
    ("explore", {}),
    ("explore", {"method": "relevance", "target": "espresso", "versus": "Persian cat"}),
    ("heads", {"off": "3.1"}),
    ("positions", {"step": "5"}),
    ("layers", {"step": "4"}),
    ("layers", {"step": "7"}),
    *(("prediction", {"step": str(step), "of_class": "espresso"}) for step in range(1, 7)),
    ("training", {"step": "6"}),
    ("beyond", {"step": "5"}),
]


def run_page(name: str) -> None:
    from functools import partial

    from vitviz.ui.course.lesson_page import lessons, show
    from vitviz.ui.pages import explore, heads

    pages = {lesson.id: partial(show, lesson) for lesson in lessons()}
    (pages | {"explore": explore.page, "heads": heads.page})[name]()


def opened(name: str, **params: str) -> AppTest:
    return at(AppTest.from_function(run_page, args=(name,), default_timeout=PATIENCE), **params)


def sent(block: Block) -> Iterator[bytes]:
    """What a page sends to the browser."""
    for child in block.children.values():
        if isinstance(child, Block):
            yield from sent(child)
        else:
            yield child.proto.SerializeToString()


@pytest.mark.parametrize(("name", "params"), PAGES)
def test_chinese_pages_name_classes_in_chinese(name: str, params: dict[str, str]) -> None:
    app = opened(name, lang="zh", sample="cat-and-coffee", **params)
    for radio in app.radio:
        radio.set_value(0).run()
    for button in app.button:
        if button.key == "quick":  # trains
            button.click().run()
    assert not app.exception
    page = b"\n".join(sent(app.main))
    chinese = ("埃及猫", "虎斑猫", "意式浓缩咖啡")
    assert any(word.encode() in page or json.dumps(word)[1:-1].encode() in page for word in chinese)
    assert not any(
        word in page for word in (b"espresso", b"tabby", b"Persian cat", b"Egyptian cat")
    )
