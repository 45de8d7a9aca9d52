"""The catalogues of texts say the same in every language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from families import make_photo, random_module
from phrases import phrases, places
from pictures import encode
from PIL import Image

import vitviz
from vitviz.errors import Phrase
from vitviz.methods.explain import METHODS
from vitviz.methods.method import ChoiceOption
from vitviz.models.labels import imagenet_names
from vitviz.photos.samples import samples
from vitviz.ui import lessons as lesson_files
from vitviz.ui.course.lesson_page import lessons
from vitviz.ui.visit import language as ui_language
from vitviz.ui.visit.language import LANGUAGES, class_names, explained, label, texts
from vitviz.ui.visit.order import NUMBERS
from vitviz.zoo.catalogue import CURATED, bundled_models

OTHERS = sorted(LANGUAGES.keys() - {"en"})


def shape(found: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with what must agree: a text's places and terms, a number itself. In how many forms
    a term occurs is each language's own."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name == "forms":
                assert all(value)
            else:
                yield from shape(value, f"{key}.{name}")
    elif isinstance(found, list):
        for index, value in enumerate(found):
            yield from shape(value, f"{key}.{index}")
    elif isinstance(found, str):
        assert found.strip(), f"{key} is empty"
        yield key, (places(found), found.count("**"), found.count("|"))
    else:
        yield key, found


def english() -> dict[str, Any]:
    """The English catalogue, and what the library itself has in English."""
    options = {
        name: option for method in METHODS.values() for name, option in method.options.items()
    }
    values = {
        v for option in options.values() if isinstance(option, ChoiceOption) for v in option.choices
    }
    library = {
        "methods": {m.id: {"title": m.title, "question": m.question} for m in METHODS.values()},
        "options": {name: option.title for name, option in options.items()},
        "choices": {value: value for value in values},
        "models": {name: note for name, (_, note) in CURATED.items()},
        "samples": {s.id: {"title": s.title, "alt": s.alt} for s in samples()},
    }
    return {**texts("en"), "library": library}


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_is_missing(language: str) -> None:
    found = dict(texts(language))
    found["library"] = {key: value for key, value in found["library"].items() if key != "errors"}
    assert dict(shape(found)) == dict(shape(english()))


@pytest.mark.parametrize("language", OTHERS)
def test_every_imagenet_class_has_a_name_of_its_own(language: str) -> None:
    names = class_names(language)
    assert tuple(names) == imagenet_names()
    assert len(set(names.values())) == 1000
    assert all(name == name.strip() != "" for name in names.values())


@pytest.mark.parametrize("language", OTHERS)
def test_every_class_of_a_bundled_model_has_a_name(language: str) -> None:
    for model in bundled_models():
        assert set(vitviz.load_model(model).labels) <= class_names(language).keys()


def test_another_models_class_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_language, "language", lambda: "zh")
    assert label("tabby") == "虎斑猫"
    assert label("tabby, tabby cat") == "tabby, tabby cat"


ENGLISH = {said.id: said.english for said in phrases()}


@pytest.mark.parametrize("language", OTHERS)
def test_what_can_go_wrong_is_said_in_every_language_and_nothing_else(language: str) -> None:
    words = texts(language)["library"]["errors"]
    add = "".join(f'\n{id} = "{ENGLISH[id]}"' for id in sorted(ENGLISH.keys() - words.keys()))
    assert not add, f"translate these in texts/{language}.toml, under [library.errors]:{add}"
    assert words.keys() - ENGLISH.keys() == set(), "nothing has these ids any more"
    assert list(words) == sorted(words)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("id", sorted(ENGLISH))
def test_a_translated_error_has_the_same_places_and_numbers(id: str, language: str) -> None:
    english, words = ENGLISH[id], texts(language)["library"]["errors"][id]
    assert words != english
    assert places(words) == places(english)
    fixed = re.sub(r"{.*?}", "", english)
    assert all(number in words for number in re.findall(r"\d+", fixed))


def test_an_errors_values_stay_and_its_titles_and_phrases_are_translated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(vitviz.ImageError) as met:
        vitviz.load_image(encode(Image.new("RGB", (2000, 30)), "PNG"))
    module = random_module("vit")
    module.reset_classifier(0)
    rec = vitviz.record(vitviz.from_module(module), make_photo())
    with pytest.raises(vitviz.MethodError) as without:
        vitviz.explain(rec, "relevance")
    for language, too_long, no_classifier in (
        ("en", "is 2000 × 30 px, more than 20 times", " and Relevance is about a class; use one "),
        (
            "zh",
            "是 2000 × 30 像素，长超过宽的 20 倍",
            " 没有分类器，而“相关性”是针对类别的；请改用 ",
        ),
    ):
        monkeypatch.setattr(ui_language, "language", lambda said=language: said)
        assert too_long in explained(met.value)
        assert no_classifier in explained(without.value)
        assert "attention, rollout" in explained(without.value)


@pytest.mark.parametrize("broken", [None, "没有图像块 {line}", "没有图像块 {row", "没有 {row.x}"])
def test_an_error_without_a_usable_translation_alone_is_said_in_english(
    broken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui_language, "language", lambda: "zh")
    monkeypatch.setattr(ui_language, "texts", lambda _: {"library": {**library, "errors": words}})
    library = texts("zh")["library"]
    words = {**library["errors"], "no_such_patch": broken}
    if broken is None:
        del words["no_such_patch"]
    text = "There is no patch {row},{col}; the grid has {rows} × {cols}."
    missing = Phrase("no_such_patch", text, row=9, col=0, rows=2, cols=2)
    assert explained(missing) == "There is no patch 9,0; the grid has 2 × 2."
    assert explained(Phrase("no_such_file", "There is no file {file}.", file="a")) == "没有文件 a。"


@pytest.mark.parametrize("language", LANGUAGES)
def test_lessons_have_their_parts(language: str) -> None:
    for lesson in lessons():
        found = texts(language)[lesson.id]
        assert {"title", "goal", "try"} <= found.keys()
        assert len(found["check"]) == len(found["recap"]) == 3
        assert 5 <= len(lesson.steps) <= 8
        assert any(step.guess for step in lesson.steps)
        for step in lesson.steps:
            assert step.guess == ("guess" in found[step.id])
        guesses = [found[step.id]["guess"] for step in lesson.steps if step.guess]
        for question in [*found["check"], *guesses]:
            assert len(question["options"]) == len(question["why"]) > question["right"] >= 0


def test_every_lesson_has_its_place_and_its_number_follows() -> None:
    folder = Path(lesson_files.__file__).parent
    files = {module.name for module in iter_modules([str(folder)])}
    assert {lesson.id for lesson in lessons()} == files
    assert [lesson.number for lesson in lessons()] == [NUMBERS[lesson.id] for lesson in lessons()]
    assert texts("en")["start"]["begin"] == f"Start with lesson {lessons()[0].number}"


CHINESE = sorted(Path(vitviz.__file__).parent.rglob("zh*.toml")) + sorted(
    (ui_language.FOLDER / "zh").glob("*.toml")
)


@pytest.mark.parametrize("file", CHINESE, ids=str)
def test_one_thing_has_one_name_in_all_chinese_texts(file: Path) -> None:
    """The lessons say token, Vision Transformer, 得分 (a score) and 你."""
    others = "词元|视觉 Transformer|分数|您"
    assert not re.findall(others, file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", sorted(ui_language.FOLDER.rglob("*.toml")), ids=str)
def test_no_text_holds_a_lessons_number(file: Path) -> None:
    assert not re.findall(r"(?i)lessons? \d+|第 ?\d+ ?课", file.read_text(encoding="utf-8"))
