"""Causal tracing against one patched recording after the other."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
import torch
from families import make_photo, random_classifier
from hooks import is_left_alone
from matplotlib.figure import Figure

import vitviz
from vitviz.inside.tracing import CausalTrace, causal_trace
from vitviz.recording.record import edited
from vitviz.recording.recording import Recording

FAMILIES = ["vit", "deit distilled", "beit", "siglip", "average pooled"]


@cache
def recorded(family: str, seed: int) -> Recording:
    """One module a family, several photos."""
    return vitviz.record(_vit(family), make_photo(seed))


@cache
def _vit(family: str) -> vitviz.Vit:
    return vitviz.from_module(random_classifier(family))


@cache
def traced(family: str) -> CausalTrace:
    return causal_trace(recorded(family, 0), recorded(family, 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_effect_is_that_of_one_patched_token(family: str) -> None:
    clean, corrupt, trace = recorded(family, 0), recorded(family, 1), traced(family)
    assert trace.target == clean.predictions[0].index
    assert trace.target_label == clean.predictions[0].label
    start = float(corrupt.logits.softmax(-1)[trace.target])
    assert trace.corrupt == pytest.approx(start, abs=1e-6)
    assert trace.clean == pytest.approx(clean.predictions[0].value, abs=1e-6)
    assert trace.values.shape == (3, *clean.grid)
    for layer in range(3):
        for patch in [(0, 0), (1, 3), (3, 2)]:
            found = edited(corrupt, [vitviz.patch_tokens(clean, layer, [patch])])
            effect = float(found.logits.softmax(-1)[trace.target]) - start
            assert trace.values[layer][patch] == pytest.approx(effect, abs=1e-5)
    if clean.has_class_token:
        found = edited(corrupt, [vitviz.patch_tokens(clean, 1, ["cls"])])
        effect = float(found.logits.softmax(-1)[trace.target]) - start
        assert trace.prefix[1, 0] == pytest.approx(effect, abs=1e-5)


def test_after_the_last_block_the_class_token_is_all_there_is() -> None:
    trace = traced("vit")
    assert trace.prefix[-1, 0] == pytest.approx(trace.clean - trace.corrupt, abs=1e-5)
    np.testing.assert_allclose(trace.values[-1], 0, atol=1e-6)
    assert np.abs(trace.values[0]).max() > 1e-3


def test_the_same_photo_gives_nothing_back() -> None:
    rec = recorded("vit", 0)
    trace = causal_trace(rec, vitviz.record(rec.vit, make_photo()))
    np.testing.assert_allclose(trace.values, 0, atol=1e-6)
    np.testing.assert_allclose(trace.prefix, 0, atol=1e-6)


def test_maps_hold_what_is_positive() -> None:
    trace = traced("vit")
    assert (trace.values < 0).any()
    assert len(trace.heats) == 3
    for heat, values in zip(trace.heats, trace.values, strict=True):
        np.testing.assert_array_equal(heat.values, values.clip(min=0))
        assert heat.box == recorded("vit", 0).box


def test_edits_of_both_recordings_are_kept() -> None:
    off = [vitviz.ablate_heads([(1, 0), (2, 1)])]
    clean, corrupt = (edited(recorded("vit", seed), off) for seed in (0, 1))
    trace = causal_trace(clean, corrupt, 2)
    found = edited(corrupt, [vitviz.patch_tokens(clean, 0, [(2, 2)])])
    effect = (found.logits.softmax(-1) - corrupt.logits.softmax(-1))[2]
    assert trace.values[0, 2, 2] == pytest.approx(float(effect), abs=1e-5)
    plain = causal_trace(recorded("vit", 0), recorded("vit", 1), 2)
    assert not np.allclose(plain.values, trace.values, atol=1e-3)


def test_progress_comes_to_an_end_and_can_end_it() -> None:
    clean, corrupt = recorded("vit", 0), recorded("vit", 1)
    shares: list[float] = []
    causal_trace(clean, corrupt, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        causal_trace(clean, corrupt, progress=stop)
    assert is_left_alone(clean.vit.module)


def test_the_figure_shows_every_layer_on_one_scale(recwarn: pytest.WarningsRecorder) -> None:
    figure = traced("vit").figure(make_photo())
    assert isinstance(figure, Figure)
    written = [text.get_text() for text in figure.texts]
    assert [text for text in written if "Layer" in text] == ["Layer 0", "Layer 1", "Layer 2"]
    figure.savefig(io.BytesIO(), format="png")
    assert not [each for each in recwarn if each.category is vitviz.VitvizWarning]
    with pytest.warns(vitviz.VitvizWarning, match="another photo"):
        traced("vit").figure(make_photo(1, (160, 120)))


@pytest.mark.parametrize(
    ("clean", "corrupt", "id"),
    [
        ("vit", "siglip", "source_of_other_grid"),
        ("siglip", "average pooled", "source_of_other_model"),
    ],
)
def test_recordings_that_do_not_go_together(clean: str, corrupt: str, id: str) -> None:
    with pytest.raises(vitviz.MethodError) as met:
        causal_trace(recorded(clean, 0), recorded(corrupt, 1))
    assert met.value.id == id


def test_a_model_without_a_classifier() -> None:
    module = random_classifier("vit")
    module.reset_classifier(0)
    vit = vitviz.from_module(module)
    rec = vitviz.record(vit, make_photo())
    with pytest.raises(vitviz.MethodError, match="no classifier"):
        causal_trace(rec, rec)


def test_a_model_that_answers_for_one_photo_whatever_it_is_given() -> None:
    module = random_classifier("vit")
    forward = module.forward
    module.forward = lambda x: forward(x)[:1]
    vit = vitviz.from_module(module)
    clean, corrupt = (vitviz.record(vit, make_photo(seed)) for seed in (0, 1))
    with pytest.raises(vitviz.ModelError, match="several states"):
        causal_trace(clean, corrupt)
    assert torch.equal(vitviz.record(vit, make_photo()).logits, clean.logits)
