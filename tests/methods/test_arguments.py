"""NumPy's numbers are numbers, lists are tuples, and a class may be called by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from families import make_photo, random_classifier, random_module

import vitviz
from vitviz.measures import faithfulness
from vitviz.recording.recording import Recording

LABELS = ["ant", "Bee", "cat", "cat", "bee"]


@pytest.fixture(scope="module")
def rec() -> Recording:
    vit = vitviz.from_module(random_classifier("vit", depth=2), labels=LABELS)
    return vitviz.record(vit, make_photo())


@pytest.mark.parametrize(
    ("method", "given", "plain"),
    [
        ("attention", {"layer": np.int64(1), "head": np.uint8(2)}, {"layer": 1, "head": 2}),
        ("attention", {"layer": np.int32(-1)}, {"layer": -1}),
        ("rollout", {"discard": np.float32(0.5)}, {"discard": 0.5}),
        ("rollout", {"residual": np.int64(0)}, {"residual": 0}),
        ("occlusion", {"window": np.int16(2), "stride": np.int16(2)}, {"window": 2, "stride": 2}),
        ("attention", {"query": [1, 2]}, {"query": (1, 2)}),
        ("attention", {"query": np.array([1, 2])}, {"query": (1, 2)}),
        ("rollout", {"query": torch.tensor([1, 2])}, {"query": (1, 2)}),
        ("relevance", {"target": np.int64(3)}, {"target": 3}),
        ("relevance", {"target": "ant"}, {"target": 0}),
        ("relevance", {"target": "ANT"}, {"target": 0}),
        ("relevance", {"target": "Bee"}, {"target": 1}),
        ("relevance", {"target": "bee"}, {"target": 4}),
        ("relevance", {"target": "ant", "versus": "bee"}, {"target": 0, "versus": 4}),
    ],
)
def test_the_same_said_otherwise(
    method: str, given: dict[str, Any], plain: dict[str, Any], rec: Recording
) -> None:
    found, wanted = (vitviz.explain(rec, method, **said) for said in (given, plain))
    assert np.array_equal(found.values, wanted.values)
    assert found.made_from == wanted.made_from
    assert type(found.made_from.layer) is type(wanted.made_from.layer)


def test_a_row_of_a_patch_in_a_list(rec: Recording) -> None:
    assert torch.equal(rec.attention_row(np.int64(1), [2, 3]), rec.attention_row(1, (2, 3)))
    assert rec.looks(0, [2, 3])


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("cat", "2 classes .* give the index, one of 2, 3"),
        ("and", "did you mean “ant”"),
        ("zebra", "class name or its index"),
        (True, "must be a whole number or text"),
        (1.0, "must be a whole number or text"),
    ],
)
def test_what_names_no_class(target: Any, says: str, rec: Recording) -> None:
    with pytest.raises(vitviz.VitvizError, match=says):
        vitviz.explain(rec, "relevance", target=target)


@pytest.mark.parametrize("query", [[1], [1, 2, 3], [1.0, 2.0], [[1, 2]], np.zeros((2, 2)), 3])
def test_what_is_no_patch(query: Any, rec: Recording) -> None:
    with pytest.raises(vitviz.VitvizError, match="is not a patch"):
        vitviz.explain(rec, "attention", query=query)


def test_measures_take_a_name_too(rec: Recording) -> None:
    heat = vitviz.explain(rec, "rollout")
    one, other = (faithfulness.deletion(rec, heat, target=t, steps=3) for t in ("ant", 0))
    assert np.array_equal(one.values, other.values)


def test_a_model_without_names(photo: Any) -> None:
    module = random_module("vit", depth=1)
    module.reset_classifier(5)
    rec = vitviz.record(vitviz.from_module(module), photo)
    with pytest.raises(vitviz.MethodError, match="class name or its index"):
        vitviz.explain(rec, "relevance", target="ant")
