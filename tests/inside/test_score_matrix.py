"""A head's attention as matrices, against the model's maps and derivatives taken by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from families import random_module
from PIL import Image

import vitviz
from vitviz.inside.attention_steps import collected, head_steps
from vitviz.inside.lens import residual_stream
from vitviz.inside.score_matrix import (
    asymmetry,
    own_best,
    saturation,
    score_matrix,
    token_products,
)


@pytest.fixture
def rec(photo: Image.Image) -> vitviz.Recording:
    return vitviz.record(vitviz.from_module(random_module("vit")), photo)


def test_the_softmax_of_the_scores_is_the_map(rec: vitviz.Recording) -> None:
    for layer in range(rec.num_layers):
        for head in range(rec.num_heads(layer)):
            scores = score_matrix(rec, layer, head)
            torch.testing.assert_close(scores.softmax(dim=1), rec.attention(layer)[head])


def test_every_row_is_what_one_token_collects(rec: vitviz.Recording) -> None:
    found = collected(rec, 1, 2)
    for patch in [(0, 0), (2, 3)]:
        token = rec.num_prefix_tokens + patch[0] * rec.grid[1] + patch[1]
        torch.testing.assert_close(found[token], head_steps(rec, 1, 2, patch).output)


def test_tokens_are_compared_as_the_layer_reads_them(rec: vitviz.Recording) -> None:
    read: list[torch.Tensor] = []
    block = rec.vit.module.blocks[1]
    with torch.no_grad():
        hook = block.attn.register_forward_pre_hook(lambda _, given: read.append(given[0][0]))
        rec.vit.module(rec.pixels[None])
        hook.remove()
    by_hand = read[0].double().numpy() @ read[0].double().numpy().T / np.sqrt(len(read[0][0]))
    found = token_products(rec, residual_stream(rec), 1)
    np.testing.assert_allclose(found.numpy(), by_hand, atol=1e-4)
    assert asymmetry(found) < 1e-6


def test_a_bias_on_the_scores_is_refused(rec: vitviz.Recording) -> None:
    call = dataclasses.replace(rec.layers[0], mask=torch.zeros(1, 1, 1, 1))
    biased = dataclasses.replace(rec, layers=(call, *rec.layers[1:]))
    with pytest.raises(vitviz.MethodError, match="queries times keys"):
        score_matrix(biased, 0, 0)


def test_asymmetry_and_own_best_by_hand() -> None:
    assert asymmetry(torch.tensor([[1.0, 2.0], [2.0, 5.0]])) == 0
    # S − Sᵀ = ±4 twice, S + Sᵀ = 2, 2, 2, 2: √32 / √16
    assert asymmetry(torch.tensor([[1.0, 3.0], [-1.0, 1.0]])) == pytest.approx(2**0.5)
    assert own_best(torch.tensor([[3.0, 1, 2], [9.0, 1, 2], [0.0, 1, 2]])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 4.0])
def test_the_jacobian_is_how_weights_move_with_scores(scale: float) -> None:
    scores = torch.tensor([1.0, -0.5, 2.0, 0.3], dtype=torch.float64)
    found = saturation(scores, scale)
    small, identity = 1e-6, torch.eye(4, dtype=torch.float64)
    moved = [
        ((scale * scores + small * step).softmax(0) - (scale * scores - small * step).softmax(0))
        / (2 * small)
        for step in identity
    ]
    jacobian = torch.stack(moved, dim=1)
    assert found.gradient == pytest.approx(float(jacobian.norm()), rel=1e-6)


def test_the_gradient_of_a_real_row_is_as_long_as_its_jacobian(rec: vitviz.Recording) -> None:
    row = score_matrix(rec, 1, 1)[8]
    for scale in (0.5, 1.0, 6.0):
        weights = (scale * row).double().softmax(dim=-1)
        jacobian = weights.diag() - torch.outer(weights, weights)
        assert saturation(row, scale).gradient == pytest.approx(float(jacobian.norm()), rel=1e-4)


def test_a_saturated_softmax_does_not_move() -> None:
    scores = torch.tensor([1.0, 0.0, -1.0])
    assert saturation(scores, 50.0).gradient < 1e-6
    # all alike: 1/n on the diagonal less 1/n² everywhere has the length √(n − 1) / n
    assert saturation(scores, 0.0).gradient == pytest.approx(2**0.5 / 3)
