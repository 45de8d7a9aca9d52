"""The catalogues of texts say the same in every language."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from families import make_photo, random_module

import vitviz
from vitviz import errors
from vitviz.methods.explain import METHODS
from vitviz.methods.method import ChoiceOption
from vitviz.models.labels import imagenet_names
from vitviz.photos.samples import samples
from vitviz.ui.course.page import lessons
from vitviz.ui.visit import language as ui_language
from vitviz.ui.visit.language import LANGUAGES, class_names, explained, label, texts
from vitviz.zoo.catalogue import CURATED, bundled_models

OTHERS = sorted(LANGUAGES.keys() - {"en"})


def places(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


def shape(found: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with what must agree: a text's places and terms, a number itself."""
    if isinstance(found, dict):
        for name, value in found.items():
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


LIBRARY = Path(vitviz.__file__).parent
# What only these raise no visitor of the app can meet.
COMMAND_LINE = {
    "cli",
    "course",
    "evaluation",
    "finetune",
    "model_cli",
    "photo_folder",
    "settings",
}


def sentences(file: Path) -> Iterator[str]:
    """The errors that a file of the library makes, with the expressions in their {places}."""
    parts = file.relative_to(LIBRARY.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in errors.__all__):
            continue
        match node.args[0]:
            case ast.JoinedStr(values):
                yield "".join(
                    p.value if isinstance(p, ast.Constant) else f"{{{ast.unparse(p.value)}}}"
                    for p in values
                )
            case ast.Name(name):
                yield getattr(import_module(".".join(parts)), name)
            case ast.Call(ast.Attribute(ast.Subscript(ast.Name(name)), "format")):
                yield from getattr(import_module(".".join(parts)), name).values()
            case ast.Constant(message):
                yield message


SENTENCES = sorted(
    {
        (str(file.relative_to(LIBRARY)), sentence)
        for file in [
            file for folder in (".", "methods", "ui") for file in LIBRARY.glob(f"{folder}/*.py")
        ]
        if file.stem not in COMMAND_LINE
        for sentence in sentences(file)
    }
)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize(("file", "sentence"), SENTENCES)
def test_what_goes_wrong_is_said_in_the_visitors_language(
    file: str, sentence: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui_language, "language", lambda: language)
    said = explained(sentence)
    assert said != sentence, (
        f"texts/{language}.toml does not have a sentence of vitviz/{file}. Add it there, with one "
        f'word in each {{place}}:\n\n[[library.errors]]\nenglish = "{sentence}"\nwords = "…"'
    )
    numbers = re.findall(r"\d+", re.sub(r"{.*?}", "", sentence))
    assert all(number in said for number in numbers)


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_outlives_its_sentence(language: str) -> None:
    for entry in texts(language)["library"]["errors"]:
        words = entry["english"]
        is_part = words[0].islower() and words[-1] != "."  # stands in a place of a sentence
        pattern = ui_language._pattern(words)
        assert is_part or any(pattern.fullmatch(sentence) for _, sentence in SENTENCES), words


def test_the_values_in_a_sentence_stay_and_its_titles_are_translated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ui_language, "language", lambda: "zh")
    too_long = "The image is 30 × 9000 px, more than 20 times as long as wide; crop it."
    assert explained(too_long) == "图片是 30 × 9000 像素，长超过宽的 20 倍；请裁剪一下。"
    module = random_module("vit")
    module.reset_classifier(0)
    with pytest.raises(vitviz.MethodError) as met:
        vitviz.explain(vitviz.record(vitviz.from_module(module), make_photo()), "relevance")
    said = explained(met.value)
    assert said.endswith(" 没有分类器，而“相关性”是针对类别的；请改用不针对类别的方法。")
    assert explained("Something else.") == "Something else."


@pytest.mark.parametrize("language", LANGUAGES)
def test_lessons_have_their_parts(language: str) -> None:
    for lesson in lessons():
        found = texts(language)[lesson.id]
        assert {"title", "goal", "try"} <= found.keys()
        assert len(found["check"]) == 3
        assert 5 <= len(lesson.steps) <= 8
        assert any(step.guess for step in lesson.steps)
        for step in lesson.steps:
            assert step.guess == ("guess" in found[step.id])
        guesses = [found[step.id]["guess"] for step in lesson.steps if step.guess]
        for question in [*found["check"], *guesses]:
            assert len(question["options"]) == len(question["why"]) > question["right"] >= 0


def test_lessons_are_counted() -> None:
    assert [lesson.number for lesson in lessons()] == list(range(1, len(lessons()) + 1))
