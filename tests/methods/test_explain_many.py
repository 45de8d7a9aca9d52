"""Many recordings explained at once: each map is the one of its recording alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from families import random_classifier
from PIL import Image

import vitviz
from vitviz.methods.explain import METHODS

CLASS_MAPS = ["relevance", "gradient_rollout", "gradcam"]


@pytest.fixture(scope="module")
def vit() -> vitviz.Vit:
    return vitviz.from_module(random_classifier("vit"))


def photos(count: int, size: tuple[int, int] = (40, 40)) -> list[Image.Image]:
    chance = np.random.default_rng(count)
    return [Image.fromarray(chance.integers(0, 256, (*size, 3), np.uint8)) for _ in range(count)]


@pytest.fixture
def passes(vit: vitviz.Vit) -> Iterator[list[int]]:
    """How many inputs came in each forward pass of the model."""
    seen: list[int] = []
    handle = vit.module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    yield seen
    handle.remove()


def alike(one: vitviz.Heatmap, other: vitviz.Heatmap) -> None:
    scale = np.abs(other.values).max()
    np.testing.assert_allclose(one.values, other.values, rtol=1e-3, atol=1e-5 * scale)
    assert (one.method, one.box, one.made_from) == (other.method, other.box, other.made_from)


@pytest.mark.parametrize("method", [name for name in METHODS if not METHODS[name].needs_pool])
def test_each_is_that_of_its_recording_alone(vit: vitviz.Vit, method: str) -> None:
    found = list(vitviz.explain_many(vitviz.record_many(vit, photos(3)), method, batch_size=2))
    assert len(found) == 3
    for one, photo in zip(found, photos(3), strict=True):
        alike(one, vitviz.explain(vitviz.record(vit, photo), method))


@pytest.mark.parametrize("method", CLASS_MAPS)
def test_a_batch_is_one_more_pass(vit: vitviz.Vit, passes: list[int], method: str) -> None:
    recs = [vitviz.record(vit, photo) for photo in photos(5)]
    passes.clear()
    list(vitviz.explain_many(recs, method, batch_size=3))
    assert passes == [3, 2]
    list(vitviz.explain_many(recs, method, batch_size=3))  # is kept with the recordings


def test_nothing_runs_before_its_turn(vit: vitviz.Vit, passes: list[int]) -> None:
    maps = vitviz.explain_many(vitviz.record_many(vit, photos(5), 2), "relevance", batch_size=2)
    assert passes == []
    next(maps)
    assert passes == [2, 2]


def test_target_versus_query_and_options_are_of_all(vit: vitviz.Vit) -> None:
    recs = [vitviz.record(vit, photo) for photo in photos(2)]
    for method, asked in (
        ("relevance", {"target": 2, "versus": 1}),
        ("gradient_rollout", {"target": 2, "discard": 0.5}),
    ):
        maps = vitviz.explain_many(recs, method, (1, 1), **asked)
        for one, photo in zip(maps, photos(2), strict=True):
            again = vitviz.record(vit, photo)
            alike(one, vitviz.explain(again, method, (1, 1), **asked))


def test_other_models_sizes_and_edits_beside_each_other(vit: vitviz.Vit) -> None:
    other = vitviz.from_module(random_classifier("dinov2 registers"))
    plain = [vitviz.record(vit, photo) for photo in photos(2)]
    edits = [vitviz.ablate_heads([(0, 1)])]
    recs = [
        *plain,
        *(vitviz.record(other, photo) for photo in photos(2)),
        *(vitviz.record(vit, photo, edits=edits) for photo in photos(2)),
    ]
    for one, rec in zip(vitviz.explain_many(recs, "relevance"), recs, strict=True):
        again = vitviz.record(rec.vit, rec.photo, edits=rec.edits)
        alike(one, vitviz.explain(again, "relevance"))


def test_what_cannot_be_explained_is_said_in_its_turn(vit: vitviz.Vit) -> None:
    frozen = vitviz.from_module(random_classifier("vit"))
    good, bad = (vitviz.record(model, photos(1)[0]) for model in (vit, frozen))
    frozen.module.forward = torch.no_grad()(frozen.module.forward)  # no gradient leads anywhere
    maps = vitviz.explain_many([good, bad, bad], "relevance")
    next(maps)
    with pytest.raises(vitviz.MethodError, match="has no gradients"):
        next(maps)


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(vitviz.MethodError, match="no method"):
        vitviz.explain_many([], "nothing")
    with pytest.raises(vitviz.VitvizError, match="1 photo or more"):
        vitviz.explain_many([], "relevance", batch_size=0)
