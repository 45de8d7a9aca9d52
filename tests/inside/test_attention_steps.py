"""The steps of attention against hand calculation and what the model computed."""

from __future__ import annotations

import math

import pytest
import timm
import torch
import torch.nn.functional as F

import vitviz
from vitviz.errors import MethodError, VitvizError
from vitviz.inside.attention_steps import attention_steps, entropy, head_steps, regrouped
from vitviz.ui.lessons.attention import KEYS, QUERY, VALUES


def recorded(name: str, size: int, **options: object) -> vitviz.Recording:
    torch.manual_seed(0)
    module = timm.create_model(name, depth=2, img_size=size, num_classes=3, **options).eval()
    return vitviz.record(vitviz.from_module(module), vitviz.load_image(vitviz.samples()[0].path))


@pytest.fixture(scope="module", params=["vit_tiny_patch16_224", "eva02_tiny_patch14_224"])
def rec(request: pytest.FixtureRequest) -> vitviz.Recording:
    return recorded(request.param, 56 if "14" in request.param else 64)


def test_three_tokens_by_hand() -> None:
    steps = attention_steps(QUERY, KEYS, VALUES, 1 / math.sqrt(4))
    assert steps.products.tolist() == [4, 2, 2]
    assert steps.scores.tolist() == [2, 1, 1]
    first = math.exp(2) / (math.exp(2) + 2 * math.exp(1))
    assert float(steps.weights[0]) == pytest.approx(first)
    assert steps.output.tolist() == pytest.approx([(1 + first) / 2, 1 - first])


@pytest.mark.parametrize("query", ["cls", (1, 2)])
def test_the_weights_are_the_recordings(rec: vitviz.Recording, query: vitviz.Query) -> None:
    for layer in range(rec.num_layers):
        for head in range(rec.num_heads(layer)):
            steps = head_steps(rec, layer, head, query)
            torch.testing.assert_close(steps.weights, rec.attention_row(layer, query)[head])


def test_the_outputs_joined_are_what_the_projection_reads(rec: vitviz.Recording) -> None:
    read: list[torch.Tensor] = []
    norm = rec.vit.module.blocks[1].attn.norm  # an identity, or what stands before the projection
    hook = norm.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    with torch.no_grad():
        rec.vit.module(rec.pixels[None])
    hook.remove()
    joined = torch.cat([head_steps(rec, 1, h, (0, 1)).output for h in range(rec.num_heads(1))])
    torch.testing.assert_close(joined, read[0][0, rec.num_prefix_tokens + 1])


def test_a_second_implementation_agrees(rec: vitviz.Recording) -> None:
    call = rec.layers[0]
    expected = F.scaled_dot_product_attention(call.query, call.key, call.value, scale=call.scale)
    steps = head_steps(rec, 0, 1, (2, 0))
    token = rec.num_prefix_tokens + 2 * rec.grid[1]
    torch.testing.assert_close(steps.output, expected[0, 1, token])


def test_a_bias_is_part_of_the_scores() -> None:
    rec = recorded("beit_base_patch16_224", 64)
    with torch.no_grad():
        for block in rec.vit.module.blocks:
            block.attn.relative_position_bias_table.normal_()
    rec = vitviz.record(rec.vit, vitviz.load_image(vitviz.samples()[0].path))
    steps = head_steps(rec, 1, 5, (1, 1))
    torch.testing.assert_close(steps.weights, rec.attention_row(1, (1, 1))[5])
    assert not torch.allclose(steps.scores, steps.products * rec.layers[1].scale)


def test_a_larger_divisor_spreads_attention(rec: vitviz.Recording) -> None:
    spread = [entropy(head_steps(rec, 0, 0, (1, 1), divisor=d).weights) for d in (0.01, 1, 8, 1e9)]
    assert spread == sorted(spread)
    assert spread[-1] == pytest.approx(math.log(rec.num_tokens))
    own = head_steps(rec, 0, 0, (1, 1))
    same = head_steps(rec, 0, 0, (1, 1), divisor=1 / rec.layers[0].scale)
    torch.testing.assert_close(own.weights, same.weights)


def test_what_cannot_be_shown_is_said(rec: vitviz.Recording) -> None:
    with pytest.raises(VitvizError, match="no head 99"):
        head_steps(rec, 0, 99)
    with pytest.raises(VitvizError, match="no layer"):
        head_steps(rec, 9, 0)
    average = recorded("vit_tiny_patch16_224", 64, class_token=False, global_pool="avg")
    with pytest.raises(MethodError, match="choose a patch"):
        head_steps(average, 0, 0, "cls")


@pytest.mark.parametrize("query", ["cls", (3, 7)])
def test_a_layer_cut_into_its_own_number_of_heads_is_the_layer(query: vitviz.Query) -> None:
    rec = vitviz.record(vitviz.load_model(), vitviz.load_image(vitviz.samples()[0].path))
    own = rec.attention_row(5, query)
    torch.testing.assert_close(regrouped(rec, 5, len(own), query), own)


def test_other_numbers_of_heads_cut_the_same_width_elsewhere() -> None:
    rec = vitviz.record(vitviz.load_model(), vitviz.load_image(vitviz.samples()[0].path))
    call = rec.layers[5]
    for heads in (1, 2, 12):
        query, key = (
            part[0].transpose(0, 1).reshape(rec.num_tokens, heads, -1).transpose(0, 1)
            for part in (call.query, call.key)
        )
        eye = torch.eye(rec.num_tokens).expand(heads, -1, -1)
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, eye)[:, 0]
        torch.testing.assert_close(regrouped(rec, 5, heads), expected)
    with pytest.raises(VitvizError, match="384 cannot be cut into 5"):
        regrouped(rec, 5, 5)
