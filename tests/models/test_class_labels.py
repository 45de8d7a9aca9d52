"""Labels in any form, as many as the model gives numbers."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import transformers
from families import make_photo
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision import transforms
from transformers_configs import small

import vitviz
from vitviz.models.labels import label_names

TRANSFORM = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
NAMES = ("ape", "bee", "cat")


def small_vit(classes: int = 3) -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=classes)


@pytest.mark.parametrize(
    "labels",
    [
        ["ape", "bee", "cat"],
        ("ape", "bee", "cat"),
        np.array(["ape", "bee", "cat"]),
        (name for name in NAMES),
        {0: "ape", 1: "bee", 2: "cat"},
        {2: "cat", 0: "ape", 1: "bee"},
        {"0": "ape", "1": "bee", "2": "cat"},  # as JSON has it
        {"bee": 1, "cat": 2, "ape": 0},
        {"bee": np.int64(1), "cat": np.int64(2), "ape": np.int64(0)},
    ],
)
def test_forms(labels: object) -> None:
    vit = vitviz.from_module(small_vit(), labels=labels)
    assert vit.labels == NAMES
    assert {p.index: p.label for p in vitviz.predict(vit, make_photo())} == dict(enumerate(NAMES))


def test_names_that_are_digits() -> None:
    assert label_names({0: "7", 1: "3"}) == ("7", "3")
    assert label_names({"7": 0, "3": 1}) == ("7", "3")
    assert label_names([7, 3]) == ("7", "3")


@given(st.permutations(range(6)))
def test_the_order_of_a_dict_does_not_count(order: list[int]) -> None:
    names = [f"name {index}" for index in range(6)]
    assert label_names({index: names[index] for index in order}) == tuple(names)
    assert label_names({names[index]: index for index in order}) == tuple(names)


@pytest.mark.parametrize(
    "labels",
    [
        "cat",
        b"cat",
        3,
        {"ape", "bee", "cat"},  # a set has no order
        {0: "ape", 2: "cat"},
        {1: "ape", 2: "bee", 3: "cat"},
        {"ape": 0, "bee": 0, "cat": 1},
        {"ape": "bee"},
        {-1: "ape", 0: "bee"},
        {0.5: "ape"},
        {"0": "ape", 0: "bee"},
    ],
)
def test_what_is_no_list_of_names(labels: object) -> None:
    with pytest.raises(vitviz.ModelError, match="not understood"):
        vitviz.from_module(small_vit(), labels=labels)


@pytest.mark.parametrize("count", [1, 2, 4, 1000])
def test_another_number_is_refused(count: int) -> None:
    names = [str(i) for i in range(count)]
    with pytest.raises(vitviz.ModelError, match=f"There are {count} labels, .* gives 3 numbers"):
        vitviz.from_module(small_vit(), labels=names)


def test_also_where_the_model_does_not_say_its_number() -> None:
    silent = nn.Sequential(small_vit(0), nn.Linear(192, 3))
    with pytest.raises(vitviz.ModelError, match="There are 2 labels"):
        vitviz.from_module(silent, labels=["a", "b"], transform=TRANSFORM)


def test_a_model_without_classes_takes_none() -> None:
    with pytest.raises(vitviz.ModelError, match="gives no numbers for a photo; give none"):
        vitviz.from_module(small_vit(0), labels=["a"])


def test_another_head_is_not_given_the_names_of_the_old() -> None:
    """timm's num_classes still says 1000."""
    module = small_vit(1000)
    module.head = nn.Linear(192, 3)
    vit = vitviz.from_module(module)
    assert vit.labels == ()
    assert {p.label for p in vitviz.predict(vit, make_photo())} == {"class 0", "class 1", "class 2"}
    assert vitviz.from_module(module, labels=NAMES).labels == NAMES


def test_a_model_of_transformers_has_its_own_names() -> None:
    named = small(transformers.ViTConfig, id2label=dict(enumerate(NAMES)))
    vit = vitviz.from_module(transformers.ViTForImageClassification(named), transform=TRANSFORM)
    assert vit.labels == NAMES
    plain = small(transformers.ViTConfig, num_labels=3)
    vit = vitviz.from_module(transformers.ViTForImageClassification(plain), transform=TRANSFORM)
    assert vit.labels == ()
