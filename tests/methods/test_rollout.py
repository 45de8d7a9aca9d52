"""Rollout by hand, and the parts it is made of."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import timm
import torch
from families import random_module
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from rollouts import by_hand
from torch import Tensor

import vitviz
from vitviz.methods.rollout import add_identity, discard_smallest
from vitviz.recording.query import sum_rows
from vitviz.recording.recording import Recording


class TestByHand:
    """A class token and one patch, two layers, one head."""

    MAPS = ([[[0.5, 0.5], [0.2, 0.8]]], [[[0.6, 0.4], [0.0, 1.0]]])

    def test_rollout(self) -> None:
        # Ã_1 = [[.75 .25] [.1 .9]], Ã_2 = [[.8 .2] [0 1]]
        # row cls of Ã_2 Ã_1 = .8·[.75 .25] + .2·[.1 .9] = [.62 .38]
        rec = by_hand(self.MAPS, (1, 1), 1)
        assert vitviz.explain(rec, "rollout").values == pytest.approx(np.array([[0.38]]))

    def test_order_of_the_layers_matters(self) -> None:
        # row cls of Ã_1 Ã_2 = .75·[.8 .2] + .25·[0 1] = [.6 .4]
        rec = by_hand(self.MAPS[::-1], (1, 1), 1)
        assert vitviz.explain(rec, "rollout").values == pytest.approx(np.array([[0.4]]))

    def test_from_the_patch(self) -> None:
        # row patch of Ã_2 Ã_1 = [.1 .9]
        rec = by_hand(self.MAPS, (1, 1), 1)
        assert vitviz.explain(rec, "rollout", (0, 0)).values == pytest.approx(np.array([[0.9]]))

    def test_head_fusion(self) -> None:
        # heads [.9 .1] and [.3 .7] of the class token; with max: [.9 .7] + I = [1.9 .7] → .7/2.6,
        # with min: [.3 .1] + I → .1/1.4, with mean: [.6 .4] + I → .4/2
        rec = by_hand([[[[0.9, 0.1], [0.0, 1.0]], [[0.3, 0.7], [0.0, 1.0]]]], (1, 1), 1)
        for fusion, value in (("max", 0.7 / 2.6), ("min", 0.1 / 1.4), ("mean", 0.2)):
            heat = vitviz.explain(rec, "rollout", fusion=fusion)
            assert heat.values == pytest.approx(np.array([[value]])), fusion

    def test_discard_keeps_prefix_and_diagonal_in_every_row(self) -> None:
        matrix = torch.tensor(
            [
                [0.01, 0.3, 0.2, 0.4],
                [0.02, 0.01, 0.5, 0.3],
                [0.03, 0.6, 0.02, 0.3],
                [0.1, 0.2, 0.3, 0.01],
            ]
        )
        kept = discard_smallest(matrix, slice(None), 0.67, 1)  # two of three patches go
        expected = torch.tensor(
            [
                [0.01, 0.0, 0.0, 0.4],
                [0.02, 0.01, 0.0, 0.0],
                [0.03, 0.0, 0.02, 0.0],
                [0.1, 0.0, 0.0, 0.01],
            ]
        )
        assert torch.equal(kept, expected)


matrices = arrays(np.float32, (7, 7), elements=st.floats(2**-7, 1, width=32)).map(torch.tensor)


@given(matrices, st.floats(0, 0.95))
def test_rows_with_identity_sum_to_one_and_keep_their_place(matrix: Tensor, weight: float) -> None:
    whole = add_identity(matrix, slice(None), weight)
    torch.testing.assert_close(whole.sum(-1), torch.ones(7))
    torch.testing.assert_close(add_identity(matrix[2:5], slice(2, 5), weight), whole[2:5])


@given(matrices, st.floats(0, 0.95), st.integers(0, 3))
def test_discarding_in_parts_is_discarding_at_once(
    matrix: Tensor, ratio: float, prefix: int
) -> None:
    whole = discard_smallest(matrix, slice(None), ratio, prefix)
    assert torch.equal(discard_smallest(matrix[3:6], slice(3, 6), ratio, prefix), whole[3:6])
    assert int((whole == 0).sum(-1).max()) <= Fraction(str(ratio)) * (7 - prefix)
    assert torch.equal(whole[:, :prefix], matrix[:, :prefix])
    assert torch.equal(whole.diagonal(), matrix.diagonal())


def test_every_whole_percent_of_a_hundred_patches_is_that_many() -> None:
    matrix = torch.rand(2, 102) + 0.5
    for percent in range(96):
        kept = discard_smallest(matrix, slice(100, 102), float(f"0.{percent:02}"), 2)
        assert (kept == 0).sum(-1).tolist() == [percent] * 2


@pytest.mark.parametrize("method", ["rollout", "value_rollout"])
@pytest.mark.parametrize("residual", [0.0, 0.5])
def test_a_token_that_may_look_nowhere_keeps_to_itself(method: str, residual: float) -> None:
    rec = by_hand([[[[0.0, 0.0], [0.5, 0.5]]]], (1, 1), 1)
    rec.vit.module.proj = torch.nn.Linear(3, 3, bias=False)
    layers = (replace(rec.layers[0], value=torch.ones(1, 1, 2, 3)),)
    rec = replace(rec, layers=layers)
    assert vitviz.explain(rec, method, residual=residual).values.tolist() == [[0.0]]
    from_patch = vitviz.explain(rec, method, (0, 0), residual=residual)
    assert from_patch.values.item() == pytest.approx(0.5 + residual / 2)


def test_where_heads_share_nothing_a_token_keeps_to_itself() -> None:
    # min of [[1 0] [0 1]] and [[0 1] [1 0]] is zero everywhere, and no residual is added
    rec = by_hand([[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]], (1, 1), 1)
    heat = vitviz.explain(rec, "rollout", fusion="min", residual=0.0)
    assert heat.values.tolist() == [[0.0]]


@given(st.integers(1, 200), st.integers(0, 199))
def test_sum_of_rows_is_the_product(tokens: int, one: int) -> None:
    matrix, weights = torch.rand(2, tokens, tokens), torch.rand(tokens)
    torch.testing.assert_close(sum_rows(weights, lambda rows: matrix[:, rows]), weights @ matrix)
    single = torch.zeros(tokens)
    single[one % tokens] = 1.0
    torch.testing.assert_close(
        sum_rows(single, lambda rows: matrix[:, rows]), matrix[:, one % tokens]
    )


def test_rollout_holds_few_rows_at_a_time(photo: Image.Image) -> None:
    module = timm.create_model("vit_tiny_patch16_224", img_size=256, depth=2)
    rec = vitviz.record(vitviz.from_module(module), photo)
    largest = 0
    original = Recording.attention_rows

    def watched(self: Recording, layer: int, rows: slice) -> Tensor:
        nonlocal largest
        result = original(self, layer, rows)
        largest = max(largest, result.shape[1])
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recording, "attention_rows", watched)
        vitviz.explain(rec, "rollout")
    assert 1 < largest < rec.num_tokens / 2


@pytest.mark.parametrize("change", ["gate", "norm"])
def test_value_rollout_refuses_what_is_not_linear(photo: Image.Image, change: str) -> None:
    module = random_module("vit")
    width = module.embed_dim
    for block in module.blocks:
        part = torch.nn.Linear(width, width) if change == "gate" else torch.nn.LayerNorm(width)
        setattr(block.attn, change, part)
    rec = vitviz.record(vitviz.from_module(module), photo)
    with pytest.raises(vitviz.MethodError, match="use attention rollout"):
        vitviz.explain(rec, "value_rollout")
