"""What comes from a link, a file or a model is shown as it is: no links, no pictures, no icons."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from foreign_words import MARK, TRAPS, obeyed, read_as_markdown
from phrases import phrases, places
from streamlit.testing.v1 import AppTest

import vitviz
from vitviz.errors import ModelError
from vitviz.photos.load import too_large
from vitviz.ui.controls import model_picker, photo_picker
from vitviz.ui.visit import keys
from vitviz.ui.visit import language as ui_language
from vitviz.ui.visit.language import explained
from vitviz.ui.visit.markdown import as_code, as_words
from vitviz.ui.visit.shelf import Shelf
from vitviz.zoo.catalogue import BUNDLED, offer

TRAP = f"![{MARK}](https://{MARK}.example/x.png)"
COFFEE = next(s.path for s in vitviz.samples() if s.id == "coffee").read_bytes()
PAGES = ["explore", "compare", "heads"]
ADDRESS = [
    name
    for name in [value for key, value in vars(keys).items() if key.isupper()]
    if isinstance(name, str) and "{" not in name and " " not in name
] + ["sample", "model", "patch", "off", "lang", "present"]


@pytest.mark.parametrize("trap", TRAPS)
def test_what_is_tried_would_work(trap: str) -> None:
    assert obeyed(trap)


@pytest.mark.parametrize("trap", TRAPS)
def test_words_stay_words(trap: str) -> None:
    for shown in (as_code(trap), as_words(trap)):
        assert MARK in shown or len(trap) > 80
        for sentence in (shown, f"A {shown}, and {shown}.", f"**{shown}** · {shown}"):
            assert not obeyed(sentence)


@pytest.mark.parametrize(
    "words", ["tabby", "虎斑猫", "Egyptian cat", "drake, male", "No such file", "“a”, “b”", "3"]
)
def test_words_without_markdown_stand_as_they_are(words: str) -> None:
    assert as_words(words) == words


@pytest.mark.parametrize("language", ui_language.LANGUAGES)
def test_nothing_in_any_error_is_obeyed(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_language, "language", lambda: language)
    for said in phrases():
        if not said.id or not said.english:
            continue
        given = {name: 7 if form else TRAP for name, form, _ in places(said.english)}
        error = vitviz.VitvizError(said.id, said.english, **given)
        for told in (error, vitviz.VitvizError("outer", "{inner}", inner=error)):
            assert not obeyed(explained(told)), said.id


def run_page(name: str) -> None:
    from importlib import import_module

    from vitviz.ui.course.lesson_page import lessons, show

    for lesson in lessons():
        if lesson.id == name:
            show(lesson)
            return
    import_module(f"vitviz.ui.pages.{name}").page()


def opened(name: str, **params: str) -> AppTest:
    app = AppTest.from_function(run_page, default_timeout=300, args=(name,))
    for key, value in params.items():
        app.query_params[key] = value
    return app.run()


def check(app: AppTest, shown: bool = True) -> None:
    """No trap is obeyed; one is shown, or else nothing was tried."""
    assert not app.exception
    texts = list(read_as_markdown(app))
    assert [place for place, text in texts if obeyed(text)] == []
    assert any(MARK in text for _, text in texts) == shown


LESSONS = ["tokens", "attention", "beyond", "training", "cost"]


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("page", [*PAGES, *LESSONS])
def test_a_link_with_a_trap_in_every_place(page: str) -> None:
    check(opened(page, **dict.fromkeys(ADDRESS, TRAP)), shown=page in PAGES)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("trap", [TRAPS[0], TRAPS[2], TRAPS[6]])
def test_the_model_of_a_link(page: str, trap: str) -> None:
    check(opened(page, model=trap, methods="attention"))


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("data", [COFFEE, b"no photo"])
def test_the_name_of_a_file(data: bytes) -> None:
    app = opened("explore")
    app.file_uploader[0].upload(f"{TRAP}.jpg", data, "image/jpeg").run()
    check(app, shown=data != COFFEE)


@pytest.mark.usefixtures("light")
def test_the_name_of_a_file_at_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_picker, "fetch_image", lambda _: b"no photo")
    app = opened("explore")
    app.segmented_control(key="source").set_value("address").run()
    app.text_input(key="url").set_value(f"https://example.org/:red[{MARK}]")
    [get] = [button for button in app.button if button.label == "Get the photo"]
    get.click().run()
    check(app)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("page", PAGES)
def test_what_a_model_calls_itself_and_its_classes(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Shelf.take

    def renamed(shelf: Shelf, name: str) -> vitviz.Vit:
        vit = take(shelf, name)
        return replace(vit, name=TRAP, labels=tuple(f"{i} {TRAP}" for i in range(len(vit.labels))))

    monkeypatch.setattr(Shelf, "take", renamed)
    check(opened(page, methods="attention", method="relevance"), shown=page != "heads")


def show_models() -> None:
    from vitviz.ui.controls.model_picker import model_list

    model_list("none")


@pytest.mark.usefixtures("light")
def test_what_the_folders_of_models_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made = replace(offer(BUNDLED), name=TRAP, here=True)
    fault = ModelError("x", "It holds {what}.", what=TRAP)
    monkeypatch.setattr(model_picker, "offers", lambda: [made])
    monkeypatch.setattr(model_picker, "broken_models", lambda: {TRAP: fault, "b": too_large()})
    check(AppTest.from_function(show_models, default_timeout=60).run())


@pytest.mark.parametrize("trap", [*TRAPS, f"a] [{MARK}](https://{MARK}.example)"])
def test_a_licence_is_words(trap: str) -> None:
    """It stands in a badge, where code would not help."""
    said = model_picker.licence(replace(offer(BUNDLED), licence=trap))
    assert said.startswith(":orange-badge[licence ")
    assert said.endswith("]")
    words = said.removeprefix(":orange-badge[").removesuffix(": terms of its own]")
    assert MARK in words
    assert re.fullmatch(r"[\w -]+", words)
    assert "_" not in words


@pytest.mark.parametrize("name", ["apache-2.0", "cc-by-nc-4.0", "mit", "gpl-3.0-or-later"])
def test_a_usual_licence_keeps_its_name(name: str) -> None:
    assert f" {name}" in model_picker.licence(replace(offer(BUNDLED), licence=name))


def show_album(name: str) -> None:
    from vitviz.ui.course.album_editor import edit_album, is_enough
    from vitviz.ui.visit.album import ClassName
    from vitviz.ui.visit.state import visit

    album = visit().album
    album.names[0] = ClassName(1, typed=name)
    album.photos[0] = album.photos[1] = [b""]
    edit_album(album)
    is_enough(album)


def test_the_names_of_a_visitors_classes() -> None:
    check(AppTest.from_function(show_album, default_timeout=60, args=(TRAP,)).run())
