"""Operations and sizes against independent counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from scipy.optimize import nnls
from timm.layers import SwiGLU, SwiGLUPacked
from torch.utils.flop_counter import FlopCounterMode

import vitviz
from vitviz.errors import ModelError
from vitviz.inside.cost import (
    attention_width,
    block_operations,
    block_weights,
    fitted,
    forward_operations,
    map_bytes,
    measure_cost,
    mixing_cost,
)

PHOTO = vitviz.samples()[0].path


def model(**options: Any) -> vitviz.Vit:
    torch.manual_seed(0)
    options = {"img_size": 64, "depth": 2, "num_classes": 5, **options}
    return vitviz.from_module(timm.create_model("vit_tiny_patch16_224", **options).eval())


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mlp_ratio": 2},
        {"mlp_layer": SwiGLU, "mlp_ratio": 3},
        {"mlp_layer": SwiGLUPacked, "mlp_ratio": 4},
    ],
)
def test_operations_are_those_that_pytorch_counts(side: int, options: dict[str, Any]) -> None:
    vit = model(img_size=side, **options)
    rec = vitviz.record(vit, vitviz.load_image(PHOTO))
    block = vit.module.blocks[0]
    block.attn.fused_attn = False  # the counter knows matrix products only
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        block(torch.zeros(1, rec.num_tokens, 192))
    found = block_operations(rec.num_tokens, 192, block_weights(rec))
    assert 2 * (found.matrices + found.attention) == counter.get_total_flops()


def test_both_parts_are_equal_at_six_widths_if_the_mlp_is_four_wide() -> None:
    rec = vitviz.record(model(), vitviz.load_image(PHOTO))
    weights = block_weights(rec)
    assert attention_width(rec) == 192
    assert weights == 12 * 192**2
    found = block_operations(6 * 192, 192, weights)
    assert found.matrices == found.attention


def test_a_model_without_blocks_cannot_be_counted() -> None:
    rec = vitviz.record(model(), vitviz.load_image(PHOTO))
    module = rec.vit.module
    del module.blocks
    rec = replace(rec, vit=replace(rec.vit, module=module))  # as if it had been loaded so
    with pytest.raises(ModelError, match="which its blocks are"):
        block_weights(rec)


def test_maps_take_what_their_tensors_take() -> None:
    rec = vitviz.record(model(), vitviz.load_image(PHOTO))
    maps = [rec.attention(layer) for layer in range(rec.num_layers)]
    size = sum(a.numel() * a.element_size() for a in maps)
    assert map_bytes(rec.num_tokens, rec.num_heads(0), rec.num_layers) == size


def test_a_square_law_is_found_again() -> None:
    n = np.array([65, 145, 257, 577, 1025])
    found = fitted(n.tolist(), (0.01 + 2e-4 * n + 3e-7 * n**2).tolist())
    np.testing.assert_allclose(found, [0.01, 2e-4, 3e-7], rtol=1e-6)


def test_no_part_takes_less_than_no_time() -> None:
    """Of times that bend down, as those of a busy machine, against another library's fit."""
    n, times = np.array([65, 145, 257, 577, 1025]), np.array([0.6, 1.4, 1.6, 1.7, 2.7])
    for seconds in (times, times[::-1], 1e-6 * n**2 - 1e-9 * n):
        weighted = np.vander(n, 3, increasing=True) / seconds[:, None]
        expected, _ = nnls(weighted, np.ones(len(n)))
        found = fitted(n.tolist(), seconds.tolist())
        assert found.min() == 0
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_every_size_is_measured() -> None:
    rec = vitviz.record(model(dynamic_img_size=True), vitviz.load_image(PHOTO))
    shares: list[float] = []
    found = measure_cost(rec, [32, 64], shares.append)
    assert [timing.tokens for timing in found] == [5, 17]
    assert all(timing.seconds > 0 for timing in found)
    assert found[1].recorded == 2 * 3 * 17 * 192 * 4
    assert shares == [pytest.approx(n / 6) for n in range(1, 7)]


def test_a_model_of_one_size_is_refused() -> None:
    rec = vitviz.record(model(), vitviz.load_image(PHOTO))
    with pytest.raises(ModelError, match="one size only"):
        measure_cost(rec, [32, 64], lambda _: None)


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_whether_it_takes_one_size_is_asked_not_tried(error: type[Exception]) -> None:
    """Other libraries' models say it with other errors."""
    rec = vitviz.record(model(), vitviz.load_image(PHOTO))

    def refuse(*_: object) -> None:
        raise error("Input size does not match.")

    rec.vit.module.patch_embed.register_forward_pre_hook(refuse)
    with pytest.raises(ModelError, match="one size only"):
        measure_cost(rec, [32, 64], lambda _: None)


def test_another_failed_assertion_is_not_taken_for_the_size() -> None:
    rec = vitviz.record(model(dynamic_img_size=True), vitviz.load_image(PHOTO))

    def fail(*_: object) -> None:
        raise AssertionError("A mistake elsewhere.")

    rec.vit.module.blocks[1].register_forward_pre_hook(fail)
    with pytest.raises(ModelError, match="A mistake elsewhere"):
        measure_cost(rec, [32], lambda _: None)


def test_ways_to_look_are_counted_in_matrix_products() -> None:
    """The products of two heads of width 8 over 12 tokens, as torch counts them: two operations a
    multiplication."""
    heads, n, dim, window = 2, 12, 8, 3
    q, k, v = torch.randn(3, heads, n, dim)
    with FlopCounterMode(display=False) as counter:
        (q @ k.transpose(1, 2)) @ v
    full = mixing_cost("full", n, heads * dim, heads, window)
    assert 2 * full.operations == counter.get_total_flops()
    assert full.memory == 4 * heads * n * n
    with FlopCounterMode(display=False) as counter:
        parts = (x.reshape(heads, n // window, window, dim) for x in (q, k, v))
        a, b, c = parts
        (a @ b.transpose(2, 3)) @ c
    windowed = mixing_cost("windowed", n, heads * dim, heads, window)
    assert 2 * windowed.operations == counter.get_total_flops()
    assert windowed.memory == 4 * heads * n * window
    with FlopCounterMode(display=False) as counter:
        q @ (k.transpose(1, 2) @ v)
    linear = mixing_cost("linear", n, heads * dim, heads, window)
    assert 2 * linear.operations == counter.get_total_flops()
    assert linear.memory == 4 * heads * dim * dim
    assert mixing_cost("windowed", n, heads * dim, heads, 99) == full


def test_all_blocks_are_the_sum_of_each() -> None:
    blocks = [block_operations(n, 6, 432) for n in (10, 7)]
    assert forward_operations([10, 7], 6, 432) == sum(b.matrices + b.attention for b in blocks)
