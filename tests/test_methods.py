"""Every method against a second implementation: plain loops over full matrices in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import timm
import torch
from families import random_module
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import Tensor
from torchvision import transforms

import vitviz
from vitviz.methods.rollout import add_identity, discard_smallest
from vitviz.recorder import SoftmaxCall
from vitviz.recording import Recording, sum_rows


def by_hand(
    maps: Sequence[list[list[list[float]]]], grid: tuple[int, int], prefix: int
) -> Recording:
    """A recording of given maps, (layers, heads, tokens, tokens)."""
    vit = vitviz.Vit(torch.nn.Identity(), "by hand", (), transforms.ToTensor())
    weights = [torch.tensor(layer)[None] for layer in maps]
    layers = tuple(SoftmaxCall("", w, torch.zeros(0)) for w in weights)
    box = (0.0, 0.0, 1.0, 1.0)
    return Recording(
        vit, torch.zeros(3, 1, 1), torch.zeros(2), layers, None, grid, prefix, True, box, 0.0
    )


def start_vector(rec: Recording, query: vitviz.recording.Query) -> np.ndarray:
    return rec.query_weights(query).double().numpy()


def reference_rollout(
    rec: Recording,
    query: vitviz.recording.Query,
    fusion: str = "mean",
    discard: float = 0.0,
    start: int = 0,
    residual: float = 0.5,
) -> np.ndarray:
    """R = Ã_L … Ã_start with whole matrices, entries dropped one by one."""
    tokens, prefix = rec.num_tokens, rec.num_prefix_tokens
    result = np.eye(tokens)
    for layer in range(start, rec.num_layers):
        heads = rec.attention(layer).double().numpy()
        fused = {"mean": heads.mean(0), "max": heads.max(0), "min": heads.min(0)}[fusion].copy()
        for i in range(tokens):
            patches = [j for j in range(prefix, tokens) if j != i]
            smallest = sorted(patches, key=lambda j, i=i: fused[i, j])
            for j in smallest[: int(discard * (tokens - prefix))]:
                fused[i, j] = 0.0
        mixed = (1 - residual) * fused + residual * np.eye(tokens)
        for i in range(tokens):
            mixed[i] = mixed[i] / mixed[i].sum()
        result = mixed @ result
    return start_vector(rec, query) @ result


def reference_value_rollout(
    rec: Recording, query: vitviz.recording.Query, residual: float = 0.5
) -> np.ndarray:
    """Every moved vector written out: α_ij^h (v_j^h W_O^h), summed over heads, its norm taken."""
    tokens = rec.num_tokens
    result = np.eye(tokens)
    for layer, call in enumerate(rec.layers):
        projection = rec.vit.module.get_submodule(call.module).proj.weight.detach().double().numpy()
        heads, values = rec.attention(layer).double().numpy(), call.value[0].double().numpy()
        dim = values.shape[-1]
        norms = np.zeros((tokens, tokens))
        for i in range(tokens):
            for j in range(tokens):
                moved = sum(
                    heads[h, i, j] * projection[:, h * dim : (h + 1) * dim] @ values[h, j]
                    for h in range(len(heads))
                )
                norms[i, j] = np.linalg.norm(moved)
        weights = norms / norms.sum(1, keepdims=True)
        mixed = (1 - residual) * weights + residual * np.eye(tokens)
        result = mixed / mixed.sum(1, keepdims=True) @ result
    return start_vector(rec, query) @ result


def patches_of(rec: Recording, tokens: np.ndarray) -> np.ndarray:
    return tokens[rec.num_prefix_tokens :].reshape(rec.grid)


QUERIES = ["cls", (1, 2)]


@pytest.mark.parametrize("query", QUERIES)
class TestAgainstTheReference:
    def test_attention(self, vit: vitviz.Vit, photo: Image.Image, query) -> None:
        rec = vitviz.record(vit, photo)
        for layer in range(3):
            rows = np.einsum(
                "t,hts->hs", start_vector(rec, query), rec.attention(layer).double().numpy()
            )
            mean = vitviz.explain(rec, "attention", query, layer=layer)
            np.testing.assert_allclose(mean.values, patches_of(rec, rows.mean(0)), atol=1e-6)
            for head in range(rec.num_heads(layer)):
                one = vitviz.explain(rec, "attention", query, layer=layer, head=head)
                np.testing.assert_allclose(one.values, patches_of(rec, rows[head]), atol=1e-6)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"fusion": "max"},
            {"fusion": "min"},
            {"discard": 0.5},
            {"discard": 0.9, "fusion": "max"},
            {"start": 1},
            {"start": 2, "residual": 0.2},
            {"residual": 0.0},
        ],
    )
    def test_rollout(self, vit: vitviz.Vit, photo: Image.Image, query, options) -> None:
        rec = vitviz.record(vit, photo)
        heat = vitviz.explain(rec, "rollout", query, **options)
        expected = patches_of(rec, reference_rollout(rec, query, **options))
        np.testing.assert_allclose(heat.values, expected, atol=1e-6, rtol=1e-4)

    def test_value_rollout(self, vit: vitviz.Vit, photo: Image.Image, query) -> None:
        rec = vitviz.record(vit, photo)
        heat = vitviz.explain(rec, "value_rollout", query)
        expected = patches_of(rec, reference_value_rollout(rec, query))
        np.testing.assert_allclose(heat.values, expected, atol=1e-5, rtol=1e-3)


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
    assert int((whole == 0).sum(-1).max()) <= int(ratio * (7 - prefix))
    assert torch.equal(whole[:, :prefix], matrix[:, :prefix])
    assert torch.equal(whole.diagonal(), matrix.diagonal())


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


class TestExplain:
    @pytest.fixture
    def rec(self, photo: Image.Image) -> Recording:
        return vitviz.record(vitviz.from_module(random_module("dinov2 registers")), photo)

    @pytest.mark.parametrize("method", list(vitviz.METHODS))
    def test_a_heatmap_has_the_grid_the_box_and_no_prefix_token(self, rec, method) -> None:
        heat = vitviz.explain(rec, method)
        assert heat.values.shape == rec.grid == (5, 5)
        assert heat.values.dtype == np.float32
        assert heat.box == rec.box
        if method in ("attention", "rollout", "value_rollout", "gradient_rollout"):
            assert 0 < heat.values.sum() < 1  # the prefix tokens' share is not drawn

    @pytest.mark.parametrize(
        ("method", "query", "target", "options", "says"),
        [
            ("nonsense", "cls", None, {}, "no method"),
            ("attention", "cls", None, {"discard": 0.1}, "no option discard"),
            ("attention", "cls", None, {"layer": 3}, "from 0 to 2"),
            ("attention", "cls", None, {"head": 6}, "from 0 to 5"),
            ("rollout", "cls", None, {"fusion": "sum"}, "mean, max, min"),
            ("rollout", "cls", None, {"discard": 1.0}, "from 0.0 to 0.95"),
            ("rollout", "cls", None, {"residual": float("nan")}, "from 0.0 to 0.95"),
            ("rollout", "cls", 1, {}, "same for every class"),
            ("rollout", (5, 0), None, {}, "from 0 to 4"),
            ("rollout", (0, -1), None, {}, "from 0 to 4"),
            ("rollout", "CLS", None, {}, "not a patch"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, rec, method, query, target, options, says) -> None:
        with pytest.raises(vitviz.VitvizError, match=says):
            vitviz.explain(rec, method, query, target, **options)

    def test_every_method_is_described(self) -> None:
        for key, method in vitviz.METHODS.items():
            assert key == method.id
            assert method.title
            assert method.question.endswith(("?", "."))
            assert "20" in method.reference
