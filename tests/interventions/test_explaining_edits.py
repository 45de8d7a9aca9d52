"""Every method explains the edited model: the same as a model with the edit in its weights."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from families import make_photo, random_classifier
from PIL import Image
from torch import nn

import vitviz
from vitviz.inside.classifier import image_features
from vitviz.inside.features import patch_features
from vitviz.inside.head_outputs import head_outputs
from vitviz.inside.heads import ablate, head_importance
from vitviz.inside.lens import logit_lens, residual_stream
from vitviz.inside.positions import with_patches, without_positions
from vitviz.interventions.patterns import with_pattern
from vitviz.journey.notebook import as_html
from vitviz.measures import faithfulness
from vitviz.methods.made_from import recording_of, same_recording
from vitviz.pictures.export import write_attention
from vitviz.recording.record import edited
from vitviz.recording.recording import Edit, Recording

FAMILIES = ["vit", "dinov2 registers", "siglip", "average pooled"]


def _without_heads(module: nn.Module) -> None:
    """Heads 0 and 2 of layer 1: their columns of the output projection."""
    attention = module.blocks[1].attn
    size = attention.proj.in_features // attention.num_heads
    for head in (0, 2):
        attention.proj.weight[:, head * size : (head + 1) * size] = 0


def _uniform(module: nn.Module) -> None:
    """Layer 1: queries that are 0 have the same score everywhere."""
    qkv = module.blocks[1].attn.qkv
    qkv.weight[: qkv.in_features] = 0
    qkv.bias[: qkv.in_features] = 0


def _uniform_head(module: nn.Module) -> None:
    attention = module.blocks[2].attn
    size = attention.qkv.in_features // attention.num_heads
    attention.qkv.weight[size : 2 * size] = 0
    attention.qkv.bias[size : 2 * size] = 0


def _half_attention(module: nn.Module) -> None:
    module.blocks[1].attn.proj.weight *= 0.5
    module.blocks[1].attn.proj.bias *= 0.5


def _no_attention(module: nn.Module) -> None:
    module.blocks[1].attn.proj.weight.zero_()
    module.blocks[1].attn.proj.bias.zero_()


def _two_mlps(module: nn.Module) -> None:
    module.blocks[0].mlp.fc2.weight *= 2
    module.blocks[0].mlp.fc2.bias *= 2


BAKED: dict[str, tuple[Edit, Callable[[nn.Module], None]]] = {
    "without heads": (vitviz.ablate_heads([(1, 0), (1, 2)]), _without_heads),
    "uniform": (vitviz.set_attention(1, "uniform"), _uniform),
    "one uniform head": (vitviz.set_attention(2, "uniform", heads=[1]), _uniform_head),
    "half": (vitviz.scale_layer(1, 0.5, part="attention"), _half_attention),
    "none": (vitviz.scale_layer(1, 0, part="attention"), _no_attention),
    "twice": (vitviz.scale_layer(0, 2, part="mlp"), _two_mlps),
}


@cache
def pair(family: str, name: str) -> tuple[Recording, Recording]:
    """The model edited, and a model with such weights."""
    module, (edit, bake) = random_classifier(family), BAKED[name]
    other = copy.deepcopy(module)
    with torch.no_grad():
        bake(other)
    photo = make_photo()
    return (
        vitviz.record(vitviz.from_module(module), photo, edits=[edit]),
        vitviz.record(vitviz.from_module(other), photo),
    )


@pytest.mark.parametrize("name", BAKED)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_explains_the_edited_model(family: str, name: str) -> None:
    ours, baked = pair(family, name)
    np.testing.assert_allclose(ours.logits, baked.logits, rtol=1e-4, atol=1e-4)
    target = baked.predictions[1].index
    asked = 0
    for method in vitviz.METHODS.values():
        if not method.suits(baked):
            continue
        given = {"target": target} if method.class_specific else {}
        options = dict(method.quick)
        if method.raw_attention:
            options["layer"] = 1
        found, wanted = (
            vitviz.explain(rec, method.id, **given, **options).values for rec in (ours, baked)
        )
        scale = float(wanted.max())
        np.testing.assert_allclose(
            found, wanted, rtol=1e-3, atol=1e-3 * scale + 1e-7, err_msg=method.id
        )
        asked += 1
    assert asked > 8


@pytest.mark.parametrize("name", BAKED)
def test_what_a_model_computes_on_the_way_is_the_edited_models(name: str) -> None:
    ours, baked = pair("vit", name)
    streams = [residual_stream(rec) for rec in (ours, baked)]
    for part in ("states", "attention", "mlp"):
        found, wanted = (getattr(stream, part) for stream in streams)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-4)
    lenses = [logit_lens(rec, stream) for rec, stream in zip((ours, baked), streams, strict=True)]
    np.testing.assert_allclose(*lenses, rtol=1e-3, atol=1e-3)
    for read in (image_features, patch_features):
        np.testing.assert_allclose(*map(read, (ours, baked)), rtol=1e-3, atol=2e-4)
    if name == "uniform":  # a map that was given has no queries and keys
        with pytest.raises(vitviz.MethodError, match="does not show the query"):
            head_outputs(ours, 1)
        return
    parts = [head_outputs(rec, 1).parts for rec in (ours, baked)]
    np.testing.assert_allclose(*parts, rtol=1e-3, atol=2e-4)
    total = head_outputs(ours, 1).total
    np.testing.assert_allclose(total, streams[0].attention[1, 0], rtol=1e-3, atol=2e-4)


def test_a_token_that_looks_at_none_collects_nothing() -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), make_photo())
    found = head_outputs(edited(rec, [vitviz.knock_out([(0, 0)])]), 1, (0, 0))
    assert not found.joined.any()
    assert not found.parts.any()


@pytest.mark.parametrize("name", BAKED)
def test_measures_ask_the_edited_model(name: str) -> None:
    curves = [
        faithfulness.deletion(rec, vitviz.explain(rec, "rollout"), target=0, steps=4).values
        for rec in pair("vit", name)
    ]
    np.testing.assert_allclose(*curves, atol=1e-4)
    importances = [head_importance(rec, 0).heads for rec in pair("vit", name)]
    np.testing.assert_allclose(*importances, atol=1e-4)
    moved = [without_positions(rec).logits for rec in pair("vit", name)]
    np.testing.assert_allclose(*moved, rtol=1e-3, atol=1e-3)
    order = torch.arange(24).roll(5)
    moved = [with_patches(rec, order).logits for rec in pair("vit", name)]
    np.testing.assert_allclose(*moved, rtol=1e-3, atol=1e-3)


def test_heads_that_are_off_already_have_no_importance() -> None:
    ours, _ = pair("vit", "without heads")
    found = head_importance(ours, 0).heads
    assert found[1, 0] == found[1, 2] == 0
    assert found[1, 1] != 0


def test_switching_off_and_ablating_are_the_same() -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), make_photo())
    off = [(0, 1), (2, 2)]
    assert edited(rec, [vitviz.ablate_heads(off)]).predictions == ablate(rec, off)


def files_of(rec: Recording) -> Iterator[Any]:
    """What is written of a map and of the attention, read again."""
    for write, given in (
        (vitviz.Heatmap.save, vitviz.explain(rec, "rollout")),
        (write_attention, rec),
    ):
        file = io.BytesIO()
        write(given, file)
        file.seek(0)
        with np.load(file) as archive:
            yield dict(archive)


class TestSaying:
    """What was done is said."""

    @pytest.fixture
    def rec(self, photo: Image.Image) -> Recording:
        return vitviz.record(vitviz.from_module(random_classifier("vit"), name="small"), photo)

    @pytest.fixture
    def changed(self, rec: Recording) -> Recording:
        return edited(rec, [vitviz.ablate_heads([(1, 0)]), vitviz.knock_out(["cls"], layers=[2])])

    def test_by_every_map(self, rec: Recording, changed: Recording) -> None:
        assert vitviz.explain(rec, "rollout").made_from.edits == ()
        assert vitviz.explain(changed, "rollout").made_from.edits == (
            "ablate_heads([(1, 0)], to='zero')",
            "knock_out(['cls'], layers=[2])",
        )

    def test_whatever_the_edit(self, rec: Recording) -> None:
        def softer(own: torch.Tensor) -> torch.Tensor:
            return own

        texts = {
            vitviz.knock_out([[3, 4]]): "knock_out([(3, 4)], layers=None)",
            vitviz.set_attention(1, "uniform", [0]): "set_attention(1, 'uniform', heads=[0])",
            vitviz.set_attention(1, softer): f"set_attention(1, {softer.__qualname__}, heads=None)",
            vitviz.patch_heads(rec, [(0, 1)]): (
                f"patch_heads(recording(model='small', input='{rec.input_hash}'), [(0, 1)])"
            ),
            vitviz.scale_layer(2, 0): "scale_layer(2, 0.0, part='both')",
        }
        for edit, text in texts.items():
            assert str(edit) == text
        inner = edited(rec, [vitviz.scale_layer(2, 0)])
        assert str(vitviz.patch_tokens(inner, 1)) == (
            f"patch_tokens(recording(model='small', input='{rec.input_hash}', "
            "scale_layer(2, 0.0, part='both')), 1, tokens=None)"
        )
        one, other = (
            str(vitviz.set_attention(1, torch.full((25, 25), value))) for value in (0.1, 0.2)
        )
        assert one != other

    def test_in_files(self, changed: Recording) -> None:
        for archive in files_of(changed):
            assert list(archive["edits"]) == [str(edit) for edit in changed.edits]
            assert "edits: " in str(archive["readme"])

    def test_files_without_edits_say_nothing(self, rec: Recording) -> None:
        assert not any("edits" in archive for archive in files_of(rec))

    def test_on_the_journey(self, rec: Recording, changed: Recording) -> None:
        assert "Done to the model: ablate_heads([(1, 0)], to=" in as_html(changed)
        assert "ablate_heads" not in as_html(rec)

    def test_maps_of_edited_and_unedited_models_are_told_apart(
        self, rec: Recording, changed: Recording
    ) -> None:
        ours, plain = (vitviz.explain(each, "rollout") for each in (changed, rec))
        assert recording_of(ours.made_from) is changed
        assert recording_of(plain.made_from) is rec
        assert same_recording(changed, ours.made_from)
        assert not same_recording(rec, ours.made_from)
        with pytest.raises(vitviz.MethodError, match="measure a map on the recording"):
            faithfulness.deletion(rec, ours)


def test_a_pass_through_changed_blocks_refuses_edits() -> None:
    ours, _ = pair("vit", "uniform")
    with pytest.raises(vitviz.MethodError, match="record the photo without edits"):
        with_pattern(ours, "windows")


def test_a_stream_with_patched_tokens_is_no_sum() -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("vit")), make_photo())
    other = vitviz.record(rec.vit, make_photo(1))
    patched = edited(rec, [vitviz.patch_tokens(other, 1)])
    with pytest.raises(vitviz.MethodError, match="record the photo without edits"):
        residual_stream(patched)
    shown = as_html(patched)
    assert shown.startswith("<iframe")
    assert "Tokens of another recording were put into this model" in shown
