"""What is recorded is what the model computed, and the model is left as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import timm
import torch
from families import FAMILIES, make_photo, random_module, set_fused
from PIL import Image
from torch import Tensor, nn

import vitviz
from vitviz.recorder import AttentionCall, Recorder, SoftmaxCall


def count_hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


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
    for method in vitviz.METHODS:
        assert vitviz.explain(rec, method).values.dtype == np.float32


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


class TestLeavesNothingBehind:
    def test_no_hook_after_success(self, vit: vitviz.Vit, photo: Image.Image) -> None:
        before = count_hooks(vit.module)
        vitviz.record(vit, photo)
        assert count_hooks(vit.module) == before

    def test_no_hook_after_an_error_in_the_forward(
        self, vit: vitviz.Vit, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = count_hooks(vit.module)

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("in the middle")

        with monkeypatch.context() as patch:
            patch.setattr(vit.module.blocks[1].mlp, "forward", broken)
            with pytest.raises(RuntimeError, match="in the middle"):
                vitviz.record(vit, photo)
        assert count_hooks(vit.module) == before
        assert vitviz.record(vit, photo).num_layers == 3

    def test_recording_outside_the_context_stops(self) -> None:
        module = random_module("vit")
        with Recorder(module) as recorder, torch.no_grad():
            module(torch.zeros(1, 3, 64, 96))
        calls = len(recorder.calls)
        with torch.no_grad():
            module(torch.zeros(1, 3, 64, 96))
        assert len(recorder.calls) == calls == 3


@pytest.mark.parametrize("fused", [True, False])
def test_sixteen_threads_share_one_model(fused: bool) -> None:
    vit = vitviz.from_module(random_module("vit"))
    set_fused(vit.module, fused)
    photos = [make_photo(seed) for seed in range(16)]
    alone = [vitviz.record(vit, photo) for photo in photos]
    barrier = threading.Barrier(16)

    def together(photo: Image.Image) -> vitviz.Recording:
        barrier.wait()
        for _ in range(4):
            vitviz.record(vit, photo)
        return vitviz.record(vit, photo)

    with ThreadPoolExecutor(16) as pool:
        shared = list(pool.map(together, photos))
    assert len({tuple(rec.logits.tolist()) for rec in alone}) == 16
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.logits, other.logits)
        assert [c.module for c in one.layers] == [c.module for c in other.layers]
        for layer in range(one.num_layers):
            assert torch.equal(one.attention(layer), other.attention(layer))
    assert count_hooks(vit.module) == 0


class TestAttentionCall:
    """Against a softmax written out in float64."""

    def call(self, **changes: object) -> AttentionCall:
        torch.manual_seed(1)
        query, key, value = torch.randn(3, 1, 4, 6, 8).unbind(0)
        given = {"mask": None, "scale": 0.3, "is_causal": False, **changes}
        return AttentionCall("m", query, given.pop("key", key), value, **given)

    def expected(self, call: AttentionCall, added: Tensor | float = 0.0) -> Tensor:
        key = call.key.double().repeat_interleave(4 // call.key.shape[1], 1)
        scores = torch.einsum("bhqd,bhkd->bhqk", call.query.double(), key) * call.scale + added
        weights = scores.exp()
        return (weights / weights.sum(-1, keepdim=True)).float()

    def check(self, call: AttentionCall, added: Tensor | float = 0.0) -> None:
        full = self.expected(call, added)
        torch.testing.assert_close(call.rows(slice(None)), full)
        torch.testing.assert_close(call.rows(slice(2, 4)), full[:, :, 2:4])

    def test_plain_with_its_own_scale(self) -> None:
        self.check(self.call())

    def test_additive_mask_with_a_row_for_each_query(self) -> None:
        mask = torch.randn(1, 4, 6, 6)
        self.check(self.call(mask=mask), mask.double())

    def test_additive_mask_of_one_row(self) -> None:
        mask = torch.randn(1, 1, 1, 6)
        self.check(self.call(mask=mask), mask.double())

    def test_boolean_mask(self) -> None:
        mask = torch.rand(6, 6) > 0.4
        mask.fill_diagonal_(True)
        added = torch.zeros(6, 6, dtype=torch.float64).masked_fill(~mask, -torch.inf)
        self.check(self.call(mask=mask), added)

    @pytest.mark.parametrize("kind", [torch.bool, torch.float32])
    def test_a_query_that_may_look_nowhere(self, kind: torch.dtype) -> None:
        allowed = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) > 0.4
        allowed[:, 0] = True
        allowed[2] = False
        added = torch.zeros(6, 6).masked_fill(~allowed, -torch.inf)
        mask = allowed if kind == torch.bool else added
        call = self.call(mask=mask)
        attended = nn.functional.scaled_dot_product_attention(
            call.query, call.key, call.value, attn_mask=mask, scale=call.scale
        )
        assert (attended[:, :, 2] == 0).all()
        torch.testing.assert_close(call.rows(slice(None)) @ call.value, attended)
        assert (call.rows(slice(2, 3)) == 0).all()

    def test_causal(self) -> None:
        added = torch.full((6, 6), -torch.inf, dtype=torch.float64).triu(1)
        self.check(self.call(is_causal=True), added)

    def test_grouped_queries(self) -> None:
        self.check(self.call(key=torch.randn(1, 2, 6, 8)))

    def test_a_scale_given_to_the_primitive_is_kept(self) -> None:
        class Scaled(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.child = nn.Sequential(nn.Identity())

            def forward(self, x: Tensor) -> Tensor:
                return nn.functional.scaled_dot_product_attention(x, x, x, scale=0.7)

        module = Scaled()
        x = torch.randn(1, 2, 5, 4)
        with Recorder(module) as recorder:
            output = module(x)
        [call] = recorder.calls
        assert isinstance(call, AttentionCall)
        torch.testing.assert_close(call.rows(slice(None)) @ x, output)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1)}),
        ("cait_xxs24_224", {"depth": 2}),
        ("resnet18", {}),
    ],
)
def test_a_model_without_global_maps_is_refused(
    name: str, arguments: dict[str, object], photo: Image.Image
) -> None:
    vit = vitviz.from_module(timm.create_model(name, **arguments))
    with pytest.raises(vitviz.ModelError, match="cannot be"):
        vitviz.record(vit, photo)


def test_unfused_attention_is_recorded_as_computed(photo: Image.Image) -> None:
    module = random_module("vit")
    set_fused(module, False)
    rec = vitviz.record(vitviz.from_module(module), photo)
    assert all(isinstance(call, SoftmaxCall) for call in rec.layers)


def test_every_family_is_tried() -> None:
    assert len(FAMILIES) == 8
