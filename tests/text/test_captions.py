"""The bridge from photos to words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from light_model import light_model
from torch import Tensor

import vitviz
from vitviz.inside.classifier import image_features
from vitviz.models.weights import weights_hash
from vitviz.text.captions import (
    FOLDER,
    WordScore,
    bridge_from,
    held_out,
    patches_for_words,
    photo_in_words,
)
from vitviz.text.record import text_vectors
from vitviz.zoo.catalogue import bundled_models, model_folders

PHOTOS = {sample.id: sample.path for sample in vitviz.samples()}


@pytest.fixture(scope="module")
def text() -> vitviz.TextModel:
    return vitviz.load_text_model()


@pytest.fixture(scope="module")
def vit() -> vitviz.Vit:
    return vitviz.load_model()


@pytest.fixture(scope="module")
def both(vit: vitviz.Vit) -> vitviz.Recording:
    """A cat on the left, a cup on the right."""
    return vitviz.record(vit, PHOTOS["cat-and-coffee"])


def test_the_photos_vector_is_the_bridged_class_token(both: vitviz.Recording) -> None:
    bridge = bridge_from(both)
    expected = F.normalize(bridge.weight @ image_features(both) + bridge.bias, dim=0)
    found = photo_in_words(both)
    assert found.shape == (384,)
    assert torch.allclose(found, expected, atol=1e-5)


def test_words_find_their_photo(vit: vitviz.Vit, text: vitviz.TextModel) -> None:
    ids = ["cat", "coffee", "mountains", "tower", "photographer"]
    words = ["a cat", "espresso", "snowy mountains", "a temple in China", "a tripod"]
    photos = torch.stack([photo_in_words(vitviz.record(vit, PHOTOS[id])) for id in ids])
    cosines = photos @ text_vectors(text, words).T
    assert cosines.argmax(dim=0).tolist() == list(range(len(ids)))


def test_a_negation_fits_nearly_as_well(both: vitviz.Recording, text: vitviz.TextModel) -> None:
    """What the lesson says."""
    cat = photo_in_words(vitviz.record(both.vit, PHOTOS["cat"]))
    a_cat, no_cat, a_dog = (text_vectors(text, ["a cat", "no cat", "a dog"]) @ cat).tolist()
    assert a_cat > no_cat > 0.6 * a_cat
    assert no_cat > a_dog


def halves(heat: vitviz.Heatmap) -> tuple[float, float]:
    left = float(heat.values[:, :8].sum() / heat.values.sum())
    return left, 1 - left


def test_patches_answer_where_the_thing_is(both: vitviz.Recording, text: vitviz.TextModel) -> None:
    cat, cup = text_vectors(text, ["a cat", "a cup of coffee"])
    assert halves(patches_for_words(both, cat))[0] > 0.75
    assert halves(patches_for_words(both, cat - cup))[0] > 0.75
    assert halves(patches_for_words(both, cup - cat))[1] > 0.55


def test_a_texts_score_is_a_sum_of_logits(both: vitviz.Recording, text: vitviz.TextModel) -> None:
    """Also for a second photo: what is left out is the same for both."""
    [cat] = text_vectors(text, ["a cat"])
    bridge, classifier = bridge_from(both), both.vit.anatomy.classifier
    assert isinstance(classifier, torch.nn.Linear)
    other = vitviz.record(both.vit, PHOTOS["tower"])
    heats: list[Tensor] = []
    from vitviz.text import captions

    def taken(rec: vitviz.Recording, query: str, score: WordScore) -> Tensor:
        assert query == "cls"
        heats.append(score.of(both.logits - other.logits))
        return torch.zeros(rec.num_tokens)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captions, "relevance", taken)
        patches_for_words(both, cat)
    tokens = image_features(both) - image_features(other)
    assert float(heats[0]) == pytest.approx(float(cat @ bridge.weight @ tokens), rel=1e-3)


def test_the_bridge_belongs_to_the_bundled_model(vit: vitviz.Vit) -> None:
    rec = vitviz.record(light_model(), PHOTOS["cat"])
    for call in (lambda: photo_in_words(rec), lambda: patches_for_words(rec, torch.ones(384))):
        with pytest.raises(vitviz.ModelError) as met:
            call()
        assert met.value.id == "no_bridge_to_words"
    from safetensors import safe_open

    with safe_open(FOLDER / "bridge.safetensors", "pt") as file:
        assert file.metadata()["vit"] == weights_hash(vit.module)


def test_the_bridge_is_small_and_no_model() -> None:
    assert (FOLDER / "bridge.safetensors").stat().st_size < 2e6
    assert FOLDER.name not in model_folders()
    assert bundled_models() == ["vit_small_patch14_in1k"]


def test_the_card_says_what_was_measured() -> None:
    found = held_out()
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(set(found.classes)) == 100
    assert found.among_held_out[0] > 0.15  # chance is 0.01
    assert found.among_held_out[1] > 0.4  # chance is 0.05
    for share in (*found.among_held_out, *found.among_all):
        assert re.search(rf"\b{100 * share:.1f}\b", card)
    assert str(found.photos) in card
    report = json.loads((FOLDER / "held_out.json").read_text())
    for name in report["classes"]:
        assert name in card


def test_held_out_classes_are_known_by_the_models_names(vit: vitviz.Vit) -> None:
    assert set(held_out().classes) <= set(vit.labels)
    assert Path(FOLDER / "README.md").is_file()
