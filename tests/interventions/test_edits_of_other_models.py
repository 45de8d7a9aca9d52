"""Edits in models of other kinds: those that do not apply say so, and none is done by half."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import timm
import torch
import transformers
from families import make_photo, random_classifier, random_module
from journeys import grouped_module
from torch import Tensor, nn
from transformers_configs import small

import vitviz
from vitviz.interventions.maps import values_of, with_map
from vitviz.recording.calls import AttentionCall
from vitviz.recording.record import edited
from vitviz.recording.recording import Edit, Recording


@cache
def recorded(family: str = "vit", size: int = 0) -> Recording:
    return vitviz.record(vitviz.from_module(random_classifier(family)), make_photo(size))


@cache
def swin() -> Recording:
    torch.manual_seed(0)
    module = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24)
    module.reset_classifier(5)
    return vitviz.record(vitviz.from_module(module), make_photo())


def softmax_of_five(_: Tensor) -> Tensor:
    return torch.ones(5, 5)


def negative(own: Tensor) -> Tensor:
    return own - 1


REFUSED: dict[str, tuple[Callable[[], Edit], str]] = {
    "no such head": (lambda: vitviz.ablate_heads([(1, 3)]), "no_such_head"),
    "no such layer of a head": (lambda: vitviz.ablate_heads([(1, 0), (3, 0)]), "no_such_layer"),
    "no such head to set": (
        lambda: vitviz.set_attention(1, "uniform", heads=[3]),
        "no_such_head",
    ),
    "no such layer": (lambda: vitviz.set_attention(3, "uniform"), "no_such_layer"),
    "no such layer to knock out in": (lambda: vitviz.knock_out(["cls"], [7]), "no_such_layer"),
    "no such layer to patch": (lambda: vitviz.patch_tokens(recorded(), 3), "no_such_layer"),
    "no such layer to scale": (lambda: vitviz.scale_layer(-4, 0), "no_such_layer"),
    "no such patch": (lambda: vitviz.knock_out([(0, 6)]), "query_not_a_patch"),
    "no patch": (lambda: vitviz.knock_out([3]), "query_not_a_patch"),
    "no registers": (lambda: vitviz.knock_out(["registers"]), "no_such_token"),
    "no such word": (lambda: vitviz.knock_out(["patch"]), "no_such_token"),
    "a map of few tokens": (lambda: vitviz.set_attention(1, torch.eye(4)), "map_of_other_shape"),
    "maps of few heads": (
        lambda: vitviz.set_attention(1, torch.eye(25).expand(2, 25, 25)),
        "map_of_other_shape",
    ),
    "a function to another shape": (
        lambda: vitviz.set_attention(1, softmax_of_five),
        "map_of_other_shape",
    ),
    "a function to no tensor": (lambda: vitviz.set_attention(1, len), "map_of_other_shape"),
    "a negative map": (lambda: vitviz.set_attention(1, negative), "map_no_attention"),
    "a map that is not finite": (
        lambda: vitviz.set_attention(1, np.full((25, 25), np.nan)),
        "map_no_attention",
    ),
    "another grid's map": (
        lambda: vitviz.set_attention(1, recorded("deit distilled")),
        "source_of_other_grid",
    ),
    "another grid's head": (
        lambda: vitviz.patch_heads(recorded("siglip"), [(0, 0)]),
        "source_of_other_grid",
    ),
    "another grid's tokens": (
        lambda: vitviz.patch_tokens(recorded("siglip"), 0),
        "source_of_other_grid",
    ),
    "another model's tokens": (lambda: vitviz.patch_tokens(wider(), 1), "source_of_other_model"),
    "another model's heads": (
        lambda: vitviz.patch_heads(wider(), [(1, 0)]),
        "source_of_other_model",
    ),
    "another model's map": (lambda: vitviz.set_attention(1, wider()), "map_of_other_shape"),
}


@cache
def wider() -> Recording:
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=(64, 96), embed_dim=128, num_heads=4, depth=3
    )
    return vitviz.record(vitviz.from_module(module), make_photo())


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_a_sentence(name: str) -> None:
    make, id = REFUSED[name]
    rec = recorded()
    with pytest.raises(vitviz.VitvizError) as met:
        vitviz.record(rec.vit, make_photo(), edits=[vitviz.ablate_heads([(0, 0)]), make()])
    assert met.value.id == id, str(met.value)
    assert torch.equal(vitviz.record(rec.vit, make_photo()).logits, rec.logits)


WRONG: dict[str, Callable[[], Edit]] = {
    "no_such_replacement": lambda: vitviz.ablate_heads([(1, 0)], to="median"),
    "no_such_attention": lambda: vitviz.set_attention(1, "sharp"),
    "no_such_part": lambda: vitviz.scale_layer(1, 0, part="norm"),
    "factor_not_finite": lambda: vitviz.scale_layer(1, float("nan")),
    "wrong_kind": lambda: vitviz.knock_out("cls"),
}


@pytest.mark.parametrize("id", WRONG)
def test_it_is_refused_where_it_is_declared(id: str) -> None:
    with pytest.raises(vitviz.VitvizError) as met:
        WRONG[id]()
    assert met.value.id == id


@pytest.mark.parametrize("given", [["uniform"], vitviz.ablate_heads([]), 3])
def test_edits_are_a_list_of_edits(given: object) -> None:
    with pytest.raises(vitviz.VitvizError, match="edits of record must be a list of Edit"):
        vitviz.record(recorded().vit, make_photo(), edits=given)


class TestWindows:
    """A model whose tokens look in windows."""

    def test_heads_are_switched_off_in_all_windows(self) -> None:
        rec = swin()
        heads = [(1, 0), (2, 1)]

        def silence(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
            joined = args[0].clone()
            size = joined.shape[-1] // module.heads
            joined[..., module.off * size : (module.off + 1) * size] = 0
            return (joined,)

        found = edited(rec, [vitviz.ablate_heads(heads)])
        handles = []
        for layer, head in heads:
            projection = rec.vit.module.get_submodule(rec.layers[layer].module).proj
            projection.off, projection.heads = head, rec.num_heads(layer)
            handles.append(projection.register_forward_pre_hook(silence))
        try:
            with torch.no_grad():
                expected = rec.vit.module(rec.pixels[None])[0]
        finally:
            for handle in handles:
                handle.remove()
        np.testing.assert_allclose(found.logits, expected, atol=1e-5)
        assert not np.allclose(found.logits, rec.logits, atol=1e-4)
        assert vitviz.explain(found, "occlusion", **vitviz.METHODS["occlusion"].quick) is not None

    @pytest.mark.parametrize(
        ("edit", "id"),
        [
            (lambda: vitviz.ablate_heads([(1, 0)], to="mean"), "edit_needs_one_map"),
            (lambda: vitviz.knock_out([(0, 0)]), "edit_needs_one_map"),
            (lambda: vitviz.set_attention(0, "uniform"), "edit_needs_one_map"),
            (lambda: vitviz.patch_heads(swin(), [(0, 0)]), "edit_needs_one_map"),
            (lambda: vitviz.patch_tokens(swin(), 0), "no_block_a_layer"),
            (lambda: vitviz.scale_layer(0, 0), "blocks_not_sequential"),
        ],
    )
    def test_other_edits_are_refused(self, edit: Callable[[], Edit], id: str) -> None:
        with pytest.raises(vitviz.VitvizError) as met:
            edited(swin(), [edit()])
        assert met.value.id == id


@pytest.mark.parametrize("family", ["beit", "eva02", "dinov3"])
def test_layers_are_scaled_where_what_they_add_is_known(family: str) -> None:
    rec = vitviz.record(vitviz.from_module(random_module(family)), make_photo())
    for factor in (0, 1):
        with pytest.raises(vitviz.ModelError, match="one after the other"):
            edited(rec, [vitviz.scale_layer(0, factor)])


def test_a_model_of_transformers() -> None:
    torch.manual_seed(0)
    module = transformers.ViTForImageClassification(small(transformers.ViTConfig, num_labels=5))
    transform = recorded("siglip").vit.transform
    vit = vitviz.from_module(module, transform=transform)
    rec, other = (vitviz.record(vit, make_photo(seed)) for seed in (0, 1))
    assert torch.equal(edited(rec, [vitviz.patch_tokens(other, -1)]).logits, other.logits)
    assert torch.equal(edited(rec, [vitviz.patch_tokens(rec, 0)]).logits, rec.logits)
    found = edited(rec, [vitviz.set_attention(0, other), vitviz.knock_out([(0, 0)], layers=[1])])
    assert torch.equal(found.attention(0), other.attention(0))
    assert float(found.attention(1)[:, :, rec.token((0, 0))].max()) == 0
    assert not torch.equal(found.logits, rec.logits)


def test_grouped_queries_each_get_their_own_values() -> None:
    """Four heads of queries share two of keys and values; one of the four is changed."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 6, 8, generator=generator)
    key, value = (torch.randn(1, 2, 6, 8, generator=generator) for _ in range(2))
    call = AttentionCall("attn", query, key, value, None, 8**-0.5, False)
    result = call.result()
    shared = value.repeat_interleave(2, dim=1)
    assert torch.equal(values_of(call), shared)
    np.testing.assert_allclose(result, call.rows(slice(None)) @ shared, atol=1e-5)
    heads = torch.tensor([False, True, False, False])[None, :, None, None]
    found, changed = with_map(call, result, heads, torch.eye(6).expand(1, 4, 6, 6))
    assert torch.equal(changed[:, [0, 2, 3]], result[:, [0, 2, 3]])
    assert torch.equal(changed[:, 1], shared[:, 1])
    assert torch.equal(found.rows(slice(None))[0, 1], torch.eye(6))


def test_a_model_with_grouped_queries() -> None:
    """One of two heads that share their values is switched off, and a token is knocked out."""
    module = grouped_module()
    rec = vitviz.record(vitviz.from_module(module), make_photo())
    baked = copy.deepcopy(module)
    with torch.no_grad():
        baked.blocks[1].attn.proj.weight[:, 16:32] = 0
    other = vitviz.record(vitviz.from_module(baked), make_photo())
    out = vitviz.knock_out([(1, 1)])
    found, wanted = edited(rec, [vitviz.ablate_heads([(1, 1)]), out]), edited(other, [out])
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
    for method in ("relevance", "value_rollout", "legrad"):
        maps = [vitviz.explain(each, method).values for each in (found, wanted)]
        np.testing.assert_allclose(*maps, rtol=1e-3, atol=1e-3 * float(maps[1].max()))
    for edit in (vitviz.patch_heads(rec, [(1, 1)]), vitviz.set_attention(1, rec)):
        assert torch.equal(edited(rec, [edit]).logits, rec.logits)
