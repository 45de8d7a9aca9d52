"""An error is an id, its English sentence and values, wherever it goes."""

from __future__ import annotations

import copy
import pickle
import re
from collections import defaultdict
from pathlib import Path

import pytest
from phrases import Said, phrases, places

import vitviz
from vitviz.errors import Phrase, VitvizError


def is_written_out(said: Said) -> bool:
    """With a {place} for what changes, and a value for each."""
    if said.id is None or said.english is None:
        return False
    named = {name for name, _, _ in places(said.english)}
    return named == said.given and re.fullmatch(r"[a-z0-9_]+", said.id) is not None


def test_a_phrase_is_written_out_with_a_value_for_each_place() -> None:
    assert len(phrases()) > 200
    assert [said for said in phrases() if not is_written_out(said)] == []


def test_phrases_are_read_from_every_package() -> None:
    read = {Path(said.where).parts[0] for said in phrases()}
    library = {"photos", "models", "zoo", "recording", "methods", "pictures", "measures", "inside"}
    assert library | {"training", "finetuning", "commands", "ui"} <= read


def test_one_id_has_one_english_text_and_one_text_one_id() -> None:
    texts, ids = defaultdict(set), defaultdict(set)
    for said in phrases():
        texts[said.id].add(said.english)
        ids[said.english].add(said.id)
    assert [id for id, found in texts.items() if len(found) > 1] == []
    assert [text for text, found in ids.items() if len(found) > 1] == []


def test_the_sentence_is_made_from_the_values() -> None:
    """Also from words that are a phrase of their own, and from a value of any name."""
    error = vitviz.MethodError(
        "some_id",
        "{self} has {id:.2f}, not {values!r}; {hint}.",
        self="A",
        id=1 / 3,
        values="b",
        hint=Phrase("other_id", "use one of {names}", names="{c}, d"),
    )
    assert str(error) == "A has 0.33, not 'b'; use one of {c}, d."
    assert error.id == "some_id"
    assert error.values.keys() == {"self", "id", "values", "hint"}


@pytest.mark.parametrize("kind", [VitvizError, *VitvizError.__subclasses__()])
@pytest.mark.parametrize(
    "travelled", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_an_error_can_be_sent_to_another_process(kind, travelled) -> None:
    hint = Phrase("hint", "in {folder}", folder=Path("here"))
    with pytest.raises(kind) as met:
        raise kind("some_id", "There is no {what} {hint}.", what="photo", hint=hint) from OSError()
    found = travelled(met.value)
    assert type(found) is kind
    assert (found.id, found.values["what"], str(found)) == (
        "some_id",
        "photo",
        "There is no photo in here.",
    )
    assert found.__traceback__ is found.__cause__ is found.__context__ is None


def test_a_real_one() -> None:
    with pytest.raises(vitviz.ModelError) as met:
        vitviz.load_model("vit_tiny_patch16_225")
    assert met.value.id == "no_such_model"
    assert met.value.values["model"] == "vit_tiny_patch16_225"
    hint = met.value.values["hint"]
    assert isinstance(hint, Phrase)
    assert hint.id == "did_you_mean"
    assert str(hint).startswith("did you mean “vit_tiny_patch16_224”")
