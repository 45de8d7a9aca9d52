"""What a visit costs and keeps: decoding, hashing, what travels, what is forgotten."""

from __future__ import annotations

import ast
import gc
import hashlib
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import page
from streamlit.testing.v1 import AppTest
from visits import recording, session, visit

import vitviz
from vitviz.photos.decoders import Decoders
from vitviz.ui.controls import photo_picker
from vitviz.ui.parts import map_sheet, patch_map
from vitviz.ui.visit import keys

ROOT = Path(__file__).parents[2]
COFFEE = next(s.path for s in vitviz.samples() if s.id == "coffee").read_bytes()
NUMBERS = ("values", "rows", "levels")  # of a component's data: addresses


def opened(**params: str) -> AppTest:
    return page("explore", **params)


class TestPhoto:
    @pytest.fixture
    def decoded(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The size of every file that is decoded in a process of its own."""
        sizes: list[int] = []
        load = Decoders.load_image

        def counted(decoders: Decoders, data: bytes) -> Any:
            sizes.append(len(data))
            return load(decoders, data)

        monkeypatch.setattr(Decoders, "load_image", counted)
        return sizes

    @pytest.fixture
    def hashed(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The size of every file of a photo that is hashed."""
        sizes: list[int] = []

        class Counted:
            @staticmethod
            def sha256(data: bytes) -> Any:
                sizes.append(len(data))
                return hashlib.sha256(data)

        monkeypatch.setattr(photo_picker, "hashlib", Counted)
        return sizes

    def test_an_upload_is_decoded_and_hashed_once(
        self, decoded: list[int], hashed: list[int]
    ) -> None:
        app = opened()
        assert decoded == []  # of the samples none
        hashed.clear()
        app.file_uploader[0].upload("photo.jpg", COFFEE, "image/jpeg").run()
        for colours in ("viridis", "magma"):
            app.selectbox(key="colours").set_value(colours).run()
        app.run()
        assert not app.exception
        assert recording(app).predictions[0].label == "espresso"
        assert decoded == [len(COFFEE)]
        assert hashed == [len(COFFEE)]
        assert session(app).photo.key == hashlib.sha256(COFFEE).hexdigest()

    def test_what_was_decoded_does_not_stay(self) -> None:
        app = opened()
        app.file_uploader[0].upload("photo.jpg", COFFEE, "image/jpeg").run()
        assert visit(app).own
        assert visit(app).decoded is None
        assert recording(app).photo is None  # the session has its file

    def test_a_photo_of_the_same_content_is_the_same(self) -> None:
        app = opened(sample="coffee")
        shown = recording(app)
        app.file_uploader[0].upload("photo.jpg", COFFEE, "image/jpeg").run()
        assert recording(app) is shown

    def test_removing_it_lets_go_of_everything(self) -> None:
        app = opened(method="relevance")
        data = COFFEE + b"its own"
        app.file_uploader[0].upload("photo.jpg", data, "image/jpeg").run()
        held = session(app)
        data = held.photo.data
        gone = [weakref.ref(thing) for thing in (held, held.photo, held.rec, held.preview)]
        gone += [weakref.ref(held.rec.pixels), weakref.ref(held.rec.layers[0].query)]
        del held
        [remove] = [button for button in app.button if button.label == "Remove your photo"]
        remove.click().run()
        assert not app.exception
        gc.collect()
        assert [reference() for reference in gone] == [None] * len(gone)
        assert gc.get_referrers(data) == []

    def test_why_a_file_was_refused_does_not_hold_the_file(self) -> None:
        """An error's traceback, and its causes', hold what the functions had in hand."""
        app = opened()
        app.file_uploader[0].upload("photo.jpg", b"no photo", "image/jpeg").run()
        _, error = visit(app).refused
        assert error.__traceback__ is error.__cause__ is error.__context__ is None


class TestMaps:
    @pytest.fixture
    def sent(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
        """What each component was given last, by its key."""
        given: dict[str, dict[str, Any]] = {}
        for module in (patch_map, map_sheet):
            monkeypatch.setattr(
                module, "_component", lambda data, key, **_: given.update({key: dict(data)})
            )
        return given

    @pytest.mark.parametrize("method", ["attention", "rollout"])
    def test_other_colours_send_no_numbers(
        self, sent: dict[str, dict[str, Any]], method: str
    ) -> None:
        app = opened(view="all", method=method)
        before = {key: dict(data) for key, data in sent.items()}
        assert set(before) == ({"patch_map", "sheet"} if method == "attention" else {"patch_map"})
        app.selectbox(key="colours").set_value("viridis")
        app.slider(key="strength").set_value(0.9)
        app.toggle(key="smooth").set_value(False).run()
        for key, data in sent.items():
            changed = {name for name in data if data[name] != before[key][name]}
            assert changed == {"palette", "alpha", "smooth"}
            assert all(str(data[name]).startswith("/") for name in NUMBERS if data.get(name))
        assert len(json.dumps(sent["patch_map"])) < 2500  # 1024 of them colours

    def test_another_layer_sends_its_numbers(self, sent: dict[str, dict[str, Any]]) -> None:
        app = opened()
        before = dict(sent["patch_map"])
        app.slider(key="attention_layer").set_value(3).run()
        assert all(sent["patch_map"][name] != before[name] for name in ("values", "rows"))

    def test_another_query_sends_no_rows(self, sent: dict[str, dict[str, Any]]) -> None:
        app = opened()
        before = dict(sent["patch_map"])
        app.text_input(key="query").set_value("5,7").run()
        assert sent["patch_map"]["values"] != before["values"]
        assert sent["patch_map"]["rows"] == before["rows"]


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@pytest.mark.parametrize(
    "file", sorted((ROOT / "vitviz" / "ui").rglob("*.py")), ids=lambda f: f.stem
)
def test_keys_are_declared_in_one_place(file: Path) -> None:
    """But those of containers, by which page.css finds them, and the visit's own."""
    if file.name in ("keys.py", "state.py"):
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = [
        call
        for call in calls(tree)
        for word in call.keywords
        if word.arg == "key"
        and is_text(word.value)
        and getattr(call.func, "attr", "") != "container"
    ]
    found += [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and getattr(node.value, "attr", "") == "session_state"
        and is_text(node.slice)
    ]
    assert [ast.unparse(node) for node in found] == []


def test_no_two_widgets_of_a_page_share_a_key() -> None:
    names = [value for name, value in vars(keys).items() if name.isupper()]
    assert {name for name in names if names.count(name) > 1} == {"step"}  # of Compare, of a lesson
