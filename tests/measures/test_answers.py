"""Forward passes of measurements: each mask is run once, and no number changes by that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from families import random_classifier
from PIL import Image
from torchvision.transforms.functional import gaussian_blur

import vitviz
from vitviz.measures import answers as answering
from vitviz.measures.answers import answers
from vitviz.measures.comparison import SEEDS, measure
from vitviz.measures.curves import Change, deletion, insertion
from vitviz.recording.recording import Recording

PATCHES = 24


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    return vitviz.record(vitviz.from_module(random_classifier("vit")), photo)


@contextmanager
def passes(rec: Recording) -> Iterator[list[int]]:
    """The sizes of the batches that the model is given."""
    sizes: list[int] = []
    hook = rec.vit.module.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    yield sizes
    hook.remove()


def by_hand(rec: Recording, heat: vitviz.Heatmap, change: Change, index: int) -> list[float]:
    """One patch after another, one photo at a time."""
    blurred = gaussian_blur(rec.pixels, [15, 15], [0.045 * 64] * 2)
    pixels, other = (
        (rec.pixels.clone(), torch.zeros_like(rec.pixels))
        if change == "deletion"
        else (blurred, rec.pixels)
    )
    values = []
    for patch in [None, *np.argsort(-heat.values, axis=None, kind="stable")]:
        if patch is not None:
            row, col = divmod(int(patch), 6)
            place = np.s_[:, 16 * row : 16 * row + 16, 16 * col : 16 * col + 16]
            pixels[place] = other[place]
        with torch.no_grad():
            values.append(float(rec.vit.module(pixels[None])[0].double().softmax(-1)[index]))
    return values


def test_shared_answers_are_those_of_passes_of_their_own(rec: Recording) -> None:
    for method in ("attention", "rollout", "random"):
        heat = vitviz.explain(rec, method)
        for change, curve in (("deletion", deletion), ("insertion", insertion)):
            for index in (1, 3):
                found = curve(rec, heat, index).values
                np.testing.assert_allclose(found, by_hand(rec, heat, change, index), atol=1e-6)


def test_the_ends_of_curves_are_computed_once(rec: Recording) -> None:
    with passes(rec) as sizes:
        deletion(rec, vitviz.explain(rec, "random", seed=0))
        assert sum(sizes) == PATCHES + 1
        insertion(rec, vitviz.explain(rec, "random", seed=0))
        assert sum(sizes) == 2 * PATCHES + 1  # the untouched photo is known
        deletion(rec, vitviz.explain(rec, "random", seed=1), steps=4)
        assert sum(sizes) == 2 * PATCHES + 1 + 3  # both ends are


def test_another_class_needs_no_pass(rec: Recording) -> None:
    with passes(rec) as sizes:
        measure(rec, "random", 1)
        assert sum(sizes) <= 2 * SEEDS * (PATCHES - 1) + 3
        sizes.clear()
        measure(rec, "random", 2)
        assert not sizes


def test_an_ended_measurement_goes_on_where_it_was(
    rec: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitviz.progress.TOKENS_AT_ONCE", 2 * rec.num_tokens)
    heat = vitviz.explain(rec, "random")

    def end(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with passes(rec) as sizes:
        with pytest.raises(KeyboardInterrupt):
            deletion(rec, heat, progress=end)
        assert 0 < sum(sizes) < PATCHES
        curve = deletion(rec, heat)
        assert sum(sizes) == PATCHES + 1
    np.testing.assert_allclose(curve.values, deletion(replace(rec), heat).values, atol=1e-6)


def test_changed_weights_are_asked_again(rec: Recording) -> None:
    hidden = torch.ones(1, *rec.grid, dtype=torch.bool)
    before = answers(rec, "deletion", hidden)
    with torch.no_grad():
        rec.vit.module.head.bias += 1
    torch.testing.assert_close(answers(rec, "deletion", hidden), before + 1)


def test_what_is_kept_is_bounded(rec: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    heat = vitviz.explain(rec, "random")
    expected = deletion(replace(rec), heat).values
    monkeypatch.setattr(answering, "KEPT", 8 * rec.logits.nbytes)
    with passes(rec) as sizes:
        np.testing.assert_allclose(deletion(rec, heat).values, expected, atol=1e-6)
        np.testing.assert_allclose(deletion(rec, heat).values, expected, atol=1e-6)
    assert sum(sizes) == 2 * (PATCHES + 1) - 8
