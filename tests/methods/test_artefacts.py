"""Artefact tokens and attention sinks: found where they were planted, and masked in rollout."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from families import random_module
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rollouts import by_hand

import vitviz
from vitviz.methods.artefacts import attention_received, outlying
from vitviz.recording.recording import Recording


@given(st.integers(0, 10_000), st.sets(st.integers(0, 255), max_size=12), st.floats(0.1, 1000))
def test_planted_lengths_are_found_whatever_their_unit(
    seed: int, planted: set[int], unit: float
) -> None:
    lengths = 50 + 4 * torch.randn(256, generator=torch.Generator().manual_seed(seed)).clamp(-3, 3)
    lengths[list(planted)] = 200.0
    assert set(outlying(unit * lengths).nonzero().flatten().tolist()) == planted


@pytest.mark.parametrize(
    ("around", "bound"),
    [
        (20.0, 100 + 6 * 1.4826 * 20),  # half of the patches lie 20 above the median, half below
        (0.0, 200.0),  # no spread at all, but less than twice the median is not outlying
    ],
)
def test_an_artefact_is_six_deviations_above_the_median_and_twice_as_long(
    around: float, bound: float
) -> None:
    lengths = torch.cat([torch.full((50,), 100 - around), torch.full((51,), 100 + around)])
    lengths[50] = 100
    for length, found in ((bound - 0.1, []), (bound + 0.1, [100])):
        lengths[100] = length
        assert outlying(lengths).nonzero().flatten().tolist() == found


@pytest.mark.parametrize(("share", "found"), [(9.9 / 25, []), (10.1 / 25, [[1, 2]])])
def test_ten_times_an_equal_share_is_too_much(share: float, found: list[list[int]]) -> None:
    attention = torch.full((26, 26), (1 - share) / 25)
    attention[:, 8] = share  # of a class token and 5 × 5 patches, given by 25 others
    rec = dataclasses.replace(by_hand([[attention.tolist()]], (5, 5), 1), norms=torch.ones(26))
    assert vitviz.attention_sinks(rec).nonzero().tolist() == found
    assert not vitviz.artefact_patches(rec).any()  # its vector is as long as the others


def test_patches_that_differ_by_rounding_are_no_artefacts() -> None:
    lengths = torch.full((100,), 50.0)
    lengths[7] += 0.01
    assert not outlying(lengths).any()
    assert not outlying(torch.zeros(100)).any()


def test_a_patch_that_absorbs_attention_is_a_sink() -> None:
    tokens = 26  # a class token and 5 × 5 patches
    attention = torch.full((tokens, tokens), 0.5 / (tokens - 1))
    attention[:, 8] = 0.5
    equal = torch.full((tokens, tokens), 1 / tokens)
    layers = [[equal.tolist()], [attention.tolist()], [equal.tolist()]]  # any layer will do
    rec = by_hand(layers, (5, 5), 1)
    rec = dataclasses.replace(rec, norms=torch.ones(tokens))
    found = vitviz.attention_sinks(rec)
    assert found.nonzero().tolist() == [[1, 2]]  # token 8 is patch 7
    # 25 others give .5 each; an equal share is 25/26, or 1 for the 26 that an equal map would sum
    assert float(attention_received(rec, 1)[8]) == pytest.approx(12.5)
    assert float(attention_received(rec, 0)[8]) == pytest.approx(25 / 26)


def test_what_a_patch_gives_itself_absorbs_nothing() -> None:
    rec = by_hand([[torch.eye(26).tolist()]], (5, 5), 1)
    rec = dataclasses.replace(rec, norms=torch.ones(26))
    assert not vitviz.attention_sinks(rec).any()
    assert attention_received(rec, 0).max() == 0


def test_lengths_are_those_after_the_last_block(vit: vitviz.Vit, photo: Image.Image) -> None:
    seen: list[torch.Tensor] = []
    vit.module.blocks[-1].register_forward_hook(lambda *a: seen.append(a[-1][0]))
    rec = vitviz.record(vit, photo)
    expected = [float(token.double().pow(2).sum().sqrt()) for token in seen[0]]
    np.testing.assert_allclose(rec.norms.numpy(), expected, rtol=1e-5)


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    """A model whose patch (2, 1) has a vector that is far too long."""
    module = random_module("dinov2 registers")
    with torch.no_grad():
        module.pos_embed[0, 2 * 5 + 1 - module.pos_embed.shape[1]] *= 30
    return vitviz.record(vitviz.from_module(module), photo)


def test_found_in_a_model(rec: Recording) -> None:
    assert vitviz.artefact_patches(rec).nonzero().tolist() == [[2, 1]]


@pytest.mark.parametrize("query", ["cls", (0, 3)])
@pytest.mark.parametrize("fusion", ["mean", "max"])
def test_rollout_without_them(
    rec: Recording, query, fusion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "vitviz.methods.rollout.attention_sinks",
        lambda _: torch.arange(25).reshape(5, 5) == 13,  # patch (2, 3), planted
    )
    masked = [rec.num_prefix_tokens + place for place in (2 * 5 + 1, 2 * 5 + 3)]
    flow = np.eye(rec.num_tokens)
    for layer in range(rec.num_layers):
        heads = rec.attention(layer).double().numpy()
        mixed = heads.mean(0) if fusion == "mean" else heads.max(0)
        mixed[:, masked] = 0.0
        mixed = mixed + np.eye(rec.num_tokens)
        flow = mixed / mixed.sum(1, keepdims=True) @ flow
    expected = rec.query_weights(query).double().numpy() @ flow
    heat = vitviz.explain(rec, "rollout", query, artefacts="mask", fusion=fusion)
    patches = expected[rec.num_prefix_tokens :].reshape(5, 5)
    np.testing.assert_allclose(heat.values, patches, atol=1e-6, rtol=1e-4)
    assert heat.values[2, 1] == heat.values[2, 3] == 0
    assert vitviz.explain(rec, "rollout", query, fusion=fusion).values[2, 1] > 0


def test_keeping_them_is_the_default(rec: Recording) -> None:
    kept = vitviz.explain(rec, "rollout", artefacts="keep").values
    assert np.array_equal(kept, vitviz.explain(rec, "rollout").values)
    with pytest.raises(vitviz.MethodError, match="keep, mask"):
        vitviz.explain(rec, "rollout", artefacts="drop")


def test_the_bundled_model_has_no_artefacts_but_sinks_that_dominate_rollout() -> None:
    vit = vitviz.load_model()
    for sample in vitviz.samples():
        rec = vitviz.record(vit, vitviz.load_image(sample.path))
        assert not vitviz.artefact_patches(rec).any()
        sinks = vitviz.attention_sinks(rec).numpy()
        assert 1 <= sinks.sum() <= 2
        assert sinks.flat[vitviz.explain(rec, "rollout").values.argmax()]
        # One head of layer 0 gives the most to the first of them, as the lesson on cost says.
        looks = rec.attention(0).clone()
        looks.diagonal(dim1=1, dim2=2).zero_()
        received = looks.sum(dim=1)[:, rec.num_prefix_tokens :].amax(dim=1)
        assert received.argmax() == 5
        assert received[5] > 2 * received[:5].max()
        most = rec.patches(attention_received(rec, 0)).max()
        assert 19 < most < 42.5  # as the model card says
