"""A photo made to keep its decoder busy: one sentence, whichever way it comes, and all goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pictures import many_scans
from streamlit.testing.v1 import AppTest
from visits import session, visit

import vitviz
from vitviz.photos.decoders import Decoders
from vitviz.ui.controls import photo_picker
from vitviz.ui.course import album_editor
from vitviz.ui.lessons import beyond
from vitviz.ui.pages import downloads
from vitviz.ui.visit import opening
from vitviz.ui.visit.language import texts

APP = Path(__file__).parents[2] / "app.py"
COFFEE = next(s.path for s in vitviz.samples() if s.id == "coffee").read_bytes()
CAT = next(s.path for s in vitviz.samples() if s.id == "cat").read_bytes()
SLOW = many_scans(100, 5_000)  # seconds of work, and no more scans than are allowed
SENTENCES = {
    "en": "The image takes too much time or memory to open; save it again, smaller or in another "
    "format.",
    "zh": texts("zh")["library"]["errors"]["image_too_costly"],
}


@pytest.fixture(autouse=True)
def _pages(light: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders with less patience, and samples that nothing slows down."""
    del light
    strict = Decoders(seconds=1)
    monkeypatch.setattr(opening, "decoders", lambda: strict)


def opened(**params: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=300)
    for key, value in params.items():
        app.query_params[key] = value
    return app.run()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_upload(lang: str) -> None:
    app = opened(lang=lang)
    app.file_uploader[0].upload("slow.jpg", SLOW, "image/jpeg").run()
    assert not app.exception
    assert [error.value for error in app.error] == [f"`slow.jpg`: {SENTENCES[lang]}"]
    assert session(app).photo.data == vitviz.samples()[0].path.read_bytes()
    app.file_uploader[0].upload("cup.jpg", COFFEE, "image/jpeg").run()
    assert not app.exception
    assert not app.error
    assert session(app).photo.data == COFFEE


def test_the_next_file_waits_after_two_that_were_too_costly() -> None:
    app = opened()
    for _ in range(2):
        app.file_uploader[0].upload("slow.jpg", SLOW, "image/jpeg").run()
    app.file_uploader[0].upload("cup.jpg", COFFEE, "image/jpeg").run()
    assert not app.exception
    [error] = app.error
    assert error.value.startswith("`cup.jpg`: 2 files of yours took too much to open")
    assert session(app).photo.data == vitviz.samples()[0].path.read_bytes()


def test_photos_of_one_visitor_and_of_all_have_their_room(monkeypatch: pytest.MonkeyPatch) -> None:
    app, other = opened(), opened()
    app.file_uploader[0].upload("cup.jpg", COFFEE, "image/jpeg").run()
    monkeypatch.setattr(opening, "MOST_HELD", len(COFFEE))
    app.file_uploader[0].upload("cat.jpg", CAT, "image/jpeg").run()
    assert [error.value for error in app.error] == [
        "`cat.jpg`: Your photos take up the 0 MB that a visitor has here; remove some of them."
    ]
    assert session(app).photo.data == COFFEE
    room = opening.held_by_all() + len(CAT)  # those of other tests may still be there
    monkeypatch.setattr(opening, "MOST_HELD_BY_ALL", room - 1)
    monkeypatch.setattr(opening, "MOST_HELD", len(CAT))
    other.file_uploader[0].upload("cat.jpg", CAT, "image/jpeg").run()
    [error] = other.error
    assert error.value.startswith("`cat.jpg`: The photos of all visitors take up")
    monkeypatch.setattr(opening, "MOST_HELD_BY_ALL", room)
    other.file_uploader[0].upload("cat.jpg", CAT, "image/jpeg").run()
    assert session(other).photo.data == CAT


def test_too_many_scans() -> None:
    app = opened()
    app.file_uploader[0].upload("scans.jpg", many_scans(400), "image/jpeg").run()
    said = (
        "`scans.jpg`: The JPEG is built up in more than 100 passes over the picture; save it again."
    )
    assert [error.value for error in app.error] == [said]


def test_from_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_picker, "fetch_image", lambda _: SLOW)
    app = opened()
    app.segmented_control(key="source").set_value("address").run()
    app.text_input(key="url").set_value("https://example.org/slow.jpg")
    [get] = [button for button in app.button if button.label == "Get the photo"]
    get.click().run()
    assert not app.exception
    assert [error.value for error in app.error] == [f"`slow.jpg`: {SENTENCES['en']}"]


def paste(data: bytes) -> None:
    from base64 import b64encode
    from types import SimpleNamespace

    import streamlit as st

    from vitviz.ui.controls.photo_picker import take_brought
    from vitviz.ui.visit import keys
    from vitviz.ui.visit.language import explained
    from vitviz.ui.visit.state import visit

    brought = {"name": "pasted.jpg", "data": b64encode(data).decode()}
    st.session_state[keys.GALLERY] = SimpleNamespace(brought=brought)
    take_brought()
    st.text(explained(visit().refused[1]))


def test_pasted() -> None:
    app = AppTest.from_function(paste, default_timeout=300, kwargs={"data": SLOW}).run()
    assert not app.exception
    assert [text.value for text in app.text] == [SENTENCES["en"]]


def show_step(lesson: str, step: str, model: str) -> None:
    """One step of a lesson, without its question."""
    from importlib import import_module

    from vitviz.ui.controls.photo_picker import sample_photos
    from vitviz.ui.visit.analyse import analyse

    found = import_module(f"vitviz.ui.lessons.{lesson}").LESSON
    session = analyse(sample_photos()["cat"][1], model)
    next(one for one in found.steps if one.id == step).show(session)


@pytest.mark.parametrize(
    ("lesson", "step"), [("beyond", "match"), ("training", "run")], ids=["second", "album"]
)
def test_in_a_lesson(lesson: str, step: str) -> None:
    args = (lesson, step, vitviz.bundled_models()[0])
    app = AppTest.from_function(show_step, default_timeout=300, args=args).run()
    assert not app.exception
    app.file_uploader[0].set_value([("slow.jpg", SLOW, "image/jpeg")]).run()
    assert not app.exception
    said = [part.value for part in (*app.error, *app.warning)]
    assert f"`slow.jpg`: {SENTENCES['en']}" in said
    app.file_uploader[0].set_value([("cup.jpg", COFFEE, "image/jpeg")]).run()
    assert not app.exception
    assert f"`slow.jpg`: {SENTENCES['en']}" not in [p.value for p in (*app.error, *app.warning)]
    taken = visit(app).second if lesson == "beyond" else visit(app).album.photos[0]
    assert taken


@pytest.mark.parametrize("lesson", [None, "beyond", "training"])
def test_what_was_taken_is_held_once(lesson: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has it now; Streamlit's own copy would stay until the visitor leaves."""
    forgotten: list[str] = []
    for module in (photo_picker, album_editor, beyond):
        monkeypatch.setattr(module, "forget_upload", lambda file: forgotten.append(file.name))
    if lesson is None:
        app = opened()
    else:
        step = {"beyond": "match", "training": "run"}[lesson]
        args = (lesson, step, vitviz.bundled_models()[0])
        app = AppTest.from_function(show_step, default_timeout=300, args=args).run()
    app.file_uploader[0].set_value([("cup.jpg", COFFEE, "image/jpeg")]).run()
    assert not app.exception
    assert forgotten == ["cup.jpg"]


def look_everywhere(data: bytes, model: str) -> None:
    """All that decodes a visitor's photo once more."""
    from collections.abc import Callable
    from types import SimpleNamespace

    from vitviz.methods.explain import explain
    from vitviz.ui.controls.photo_picker import open_photo
    from vitviz.ui.lessons.cnn import class_evidence, convolution
    from vitviz.ui.pages import downloads
    from vitviz.ui.visit.analyse import analyse
    from vitviz.ui.visit.session import Look

    def press(_: str, content: Callable[[], bytes], *__: object, **___: object) -> None:
        content()

    session = analyse(open_photo(data, "mine.jpg"), model)
    analyse(session.photo, model, "second")
    class_evidence.both(session)
    convolution.slide(session)
    downloads.st = SimpleNamespace(**vars(downloads.st) | {"download_button": press})
    look = Look("inferno", 0.5, True)
    downloads.downloads(session, explain(session.rec, "rollout"), "cls", look, None, "mine")


def test_nothing_else_opens_a_strangers_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, that is: only what comes with Vitviz."""

    def refuse(_: object) -> None:
        pytest.fail("opened in this process")

    for name, module in list(sys.modules.items()):
        if name.startswith("vitviz.ui.") and hasattr(module, "load_image"):
            monkeypatch.setattr(module, "load_image", refuse)
    monkeypatch.setattr(downloads, "st", downloads.st)  # given back
    args = (COFFEE, vitviz.bundled_models()[0])
    app = AppTest.from_function(look_everywhere, default_timeout=300, args=args).run()
    assert not app.exception
