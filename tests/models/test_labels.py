"""Names of ImageNet's classes: one a class, whatever the case."""

from __future__ import annotations

import pytest
import timm

import vitviz
from vitviz.commands.explain import _class_index
from vitviz.models.labels import imagenet_names
from vitviz.models.vit import Vit


@pytest.fixture(scope="module")
def vit() -> Vit:
    return vitviz.from_module(timm.create_model("vit_tiny_patch16_224", num_classes=1000))


def test_known_classes_have_their_names() -> None:
    names = imagenet_names()
    known = {0: "tench", 134: "crane (bird)", 281: "tabby", 474: "cardigan", 517: "crane (machine)"}
    assert {index: names[index] for index in known} == known
    assert [names[index] for index in (638, 639, 967)] == ["maillot", "tank suit", "espresso"]


def test_no_two_names_differ_in_case_only() -> None:
    assert len({name.lower() for name in imagenet_names()}) == len(imagenet_names()) == 1000


def test_a_model_of_1000_classes_has_them(vit: Vit) -> None:
    assert vit.labels == imagenet_names()


def test_naming_a_class_gives_its_index(vit: Vit) -> None:
    for index, name in enumerate(imagenet_names()):
        assert _class_index(vit, name) == _class_index(vit, name.upper()) == index
