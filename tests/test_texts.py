"""The catalogues of texts say the same in every language."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any

import pytest

from vitviz import fetch, hub, images
from vitviz.catalogue import CURATED
from vitviz.errors import ImageError
from vitviz.images import samples
from vitviz.methods import METHODS
from vitviz.methods.option import Choice
from vitviz.ui import language as ui_language
from vitviz.ui.language import LANGUAGES, explained, texts
from vitviz.ui.lesson import lessons

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
        v for option in options.values() if isinstance(option, Choice) for v in option.choices
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


SENTENCES = [
    *(
        value
        for module in (images, fetch)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and value.endswith(".") and name != "TEXT"
    ),
    *(sentence.format(name="vit_x.y") for sentence in hub.SENTENCES.values()),
    "There is no model called “a b”; did you mean “b” or “c” or “d”?",
    "There is no model called “a b”; did you mean “b”?",
    "There is no model called “a”; name a folder under models/ or a timm model.",
    "The model mine cannot be loaded: its weights are another model’s; the file lacks 1.a, b.",
    "vit_x has 304.4 million parameters, and this server loads models of at most 90 million; "
    "choose a smaller one.",
    "This server holds at most 3 models at once, and all are in use; try again in some minutes, or "
    "choose one of them.",
    "The weights of vit_x are not on this server, and visitors may not fetch any; its owner can: "
    "python -m vitviz fetch vit_x",
    "timm has no pretrained weights for vit_x; choose another model.",
    "The weights of vit_x are not on the model hub: get them from http://x.y/z.pth and load the "
    "file with architecture=vit_x.",
    "The image is 3 × 900 px, smaller than one patch; use at least 14 × 14 px.",
    "The image is 30 × 9000 px, more than 20 times as long as wide; crop it.",
    "The address answered with error 404; check it, or upload the photo.",
    "The file cannot be read: No such file.",
]


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_a_visitor_does_wrong_is_said_in_their_language(
    sentence: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui_language, "language", lambda: language)
    said = explained(ImageError(sentence))
    assert said != sentence
    assert "{" not in said
    numbers = re.findall(r"\d+", sentence)
    assert all(number in said for number in numbers)
    assert explained(ImageError("Something else.")) == "Something else."


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
