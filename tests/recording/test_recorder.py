"""What is recorded is what the model computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import timm
import torch
from families import FAMILIES, make_photo, random_module, set_fused
from PIL import Image
from torch import Tensor, nn

import vitviz
from vitviz.recording.calls import AttentionCall, SoftmaxCall


@contextmanager
def inputs_of_projections(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What reaches each attention's output projection: the joined heads, seen independently."""
    seen: dict[str, Tensor] = {}
    handles = [
        child.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
        for name, child in module.named_modules()
        if name.endswith("attn.proj")
    ]
    yield seen
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("fused", [True, False])
class TestExactness:
    def test_logits_are_identical(self, vit: vitviz.Vit, photo: Image.Image, fused: bool) -> None:
        set_fused(vit.module, fused)
        rec = vitviz.record(vit, photo)
        with torch.no_grad():
            plain = vit.module(vit.transform(photo)[None])[0]
        if rec.vit.module.num_classes:
            assert torch.equal(rec.logits, plain)
        else:
            assert rec.logits.numel() == 0
            assert rec.predictions == []

    def test_rows_sum_to_one(self, vit: vitviz.Vit, photo: Image.Image, fused: bool) -> None:
        set_fused(vit.module, fused)
        rec = vitviz.record(vit, photo)
        assert rec.num_layers == 3
        for layer in range(3):
            attention = rec.attention(layer)
            assert attention.shape == (rec.num_heads(layer), rec.num_tokens, rec.num_tokens)
            torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:2]))
            assert attention.std() > 0.01  # far from uniform: the other tests can fail

    def test_attention_at_values_is_what_the_model_computed(
        self, vit: vitviz.Vit, photo: Image.Image, fused: bool
    ) -> None:
        set_fused(vit.module, fused)
        with inputs_of_projections(vit.module) as joined:
            rec = vitviz.record(vit, photo)
        for layer, call in enumerate(rec.layers):
            ours = rec.attention(layer) @ call.value[0]  # (heads, tokens, dim)
            theirs = joined[f"{call.module}.proj"][0]
            torch.testing.assert_close(
                ours.transpose(0, 1).flatten(1), theirs, atol=1e-4, rtol=1e-4
            )

    def test_a_row_is_the_row_of_the_map(
        self, vit: vitviz.Vit, photo: Image.Image, fused: bool
    ) -> None:
        set_fused(vit.module, fused)
        rec = vitviz.record(vit, photo)
        prefix, (rows, cols) = rec.num_prefix_tokens, rec.grid
        for layer in range(3):
            attention = rec.attention(layer)
            for query in ((0, 0), (1, 2), (rows - 1, cols - 1)):
                token = prefix + query[0] * cols + query[1]
                row = rec.attention_row(layer, query)
                torch.testing.assert_close(row, attention[:, token], atol=1e-6, rtol=1e-5)
            if rec.has_class_token:
                row = rec.attention_row(layer, "cls")
                torch.testing.assert_close(row, attention[:, 0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_the_pooling_heads_map_at_values_is_what_it_computed(
    photo: Image.Image, fused: bool
) -> None:
    module = random_module("siglip")
    set_fused(module, fused)
    seen: list[Tensor] = []
    module.attn_pool.proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    rec = vitviz.record(vitviz.from_module(module), photo)
    assert rec.pool is not None
    ours = rec.pool.rows(slice(None))[0] @ rec.pool.value[0]
    torch.testing.assert_close(ours.transpose(0, 1).flatten(1), seen[0][0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_another_float_type(
    vit: vitviz.Vit, photo: Image.Image, dtype: torch.dtype, fused: bool
) -> None:
    """Its own numbers come out, and maps that agree with them to its own precision."""
    set_fused(vit.module, fused)
    module = vit.module.to(dtype)
    with inputs_of_projections(module) as joined:
        rec = vitviz.record(vit, photo)
    with torch.no_grad():
        plain = module(vit.transform(photo)[None].to(dtype))[0]
    assert torch.equal(rec.logits, plain[: len(rec.logits)])
    precision = max(8 * torch.finfo(dtype).eps, 64 * torch.finfo(torch.float32).eps)
    for layer, call in enumerate(rec.layers):
        attention = rec.attention(layer)
        assert attention.dtype == torch.float32
        ours = (attention @ call.value[0].float()).transpose(0, 1).flatten(1)
        theirs = joined[f"{call.module}.proj"][0].float()
        atol = precision * float(call.value.abs().max())
        torch.testing.assert_close(ours, theirs, atol=atol, rtol=precision)
    for id, method in vitviz.METHODS.items():
        if method.class_specific:
            with pytest.raises(vitviz.MethodError, match=r"float32|no classifier"):
                vitviz.explain(rec, id)
        elif rec.pool is not None or not method.needs_pool:
            assert vitviz.explain(rec, id).values.dtype == np.float32


def test_maps_do_not_depend_on_the_callers_autocast(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    alone = rec.attention(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rec.attention(1), alone)


def test_tokens_of_every_family(vit: vitviz.Vit, photo: Image.Image, family: str) -> None:
    rec = vitviz.record(vit, photo)
    expected = {
        "vit": (1, (4, 6)),
        "deit distilled": (2, (4, 4)),
        "dinov2 registers": (5, (5, 5)),
        "beit": (1, (4, 4)),
        "eva02": (1, (5, 5)),
        "dinov3": (5, (4, 4)),
        "siglip": (0, (4, 4)),
        "average pooled": (0, (4, 4)),
    }
    assert (rec.num_prefix_tokens, rec.grid) == expected[family]
    assert rec.has_class_token == (family not in ("siglip", "average pooled"))
    assert (rec.pool is not None) == (family == "siglip")
    tokens = torch.arange(rec.num_tokens)
    assert rec.patches(tokens)[0, 0] == rec.num_prefix_tokens
    assert rec.patches(tokens)[-1, -1] == rec.num_tokens - 1


def test_without_a_class_token_cls_is_what_the_classifier_reads(photo: Image.Image) -> None:
    averaged = vitviz.record(vitviz.from_module(random_module("average pooled")), photo)
    torch.testing.assert_close(averaged.attention_row(1), averaged.attention(1).mean(1))
    pooled = vitviz.record(vitviz.from_module(random_module("siglip")), photo)
    assert pooled.pool is not None
    weights = pooled.pool.rows(slice(None))[0, :, 0].mean(0)
    expected = torch.einsum("t,hts->hs", weights, pooled.attention(1))
    torch.testing.assert_close(pooled.attention_row(1), expected)
    assert weights.std() > 0.001


def test_unfused_attention_is_recorded_as_computed(photo: Image.Image) -> None:
    module = random_module("vit")
    set_fused(module, False)
    rec = vitviz.record(vitviz.from_module(module), photo)
    assert all(isinstance(call, SoftmaxCall) for call in rec.layers)
    row = rec.attention_row(1)
    kept = row.clone()
    row.zero_()  # is no part of the recording
    assert torch.equal(rec.attention_row(1), kept)


def test_a_row_never_builds_the_map(
    vit: vitviz.Vit, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    rec = vitviz.record(vit, photo)
    asked: list[int] = []
    original = AttentionCall.rows

    def watched(self: AttentionCall, rows: slice) -> Tensor:
        result = original(self, rows)
        asked.append(result.shape[2])
        return result

    monkeypatch.setattr(AttentionCall, "rows", watched)
    rec.attention_row(1, (1, 1))
    assert asked == [1]


def test_memory_grows_linearly_with_tokens() -> None:
    def kept(size: int) -> int:
        torch.manual_seed(0)
        module = timm.create_model("vit_tiny_patch16_224", img_size=size, depth=2)
        rec = vitviz.record(vitviz.from_module(module), make_photo())
        tensors = [t for c in rec.layers for t in (c.query, c.key, c.value)]
        return len({t.untyped_storage().data_ptr() for t in tensors}) and sum(
            {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values()
        )

    tokens = {size: (size // 16) ** 2 + 1 for size in (64, 256)}
    assert kept(256) / kept(64) == pytest.approx(tokens[256] / tokens[64])


def test_every_family_is_tried() -> None:
    assert len(FAMILIES) == 8


def test_a_layer_or_patch_that_is_not_there(photo: Image.Image) -> None:
    """The sentence says what there is."""
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    with pytest.raises(vitviz.VitvizError, match=r"no layer 3; this model's layers are 0 to 2\."):
        rec.attention(3)
    with pytest.raises(vitviz.VitvizError, match=r"row from 0 to 3 and a column from 0 to 5\."):
        rec.token((4, 0))
