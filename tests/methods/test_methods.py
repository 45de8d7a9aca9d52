"""Every method against a second implementation: plain loops over full matrices in float64."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

import vitviz
from vitviz.recording.recording import Recording


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
            for j in smallest[: int(Fraction(str(discard)) * (tokens - prefix))]:
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


def weights_by_hand(rec: Recording, query: vitviz.recording.Query, kv: np.ndarray) -> np.ndarray:
    """Which token looks, written out; `kv` is the input of the pooling head, if there is one."""
    tokens = np.zeros(rec.num_tokens)
    prefix, (rows, cols) = rec.num_prefix_tokens, rec.grid
    if query != "cls":
        tokens[prefix + query[0] * cols + query[1]] = 1.0
    elif rec.has_class_token:
        tokens[0] = 1.0
    elif rec.pool is None:
        tokens[prefix:] = 1 / (rows * cols)
    else:
        head = rec.vit.module.attn_pool
        q = head.q(head.latent)[0, 0].detach().double().numpy()
        width, heads = len(q), head.num_heads
        k = kv @ head.kv.weight[:width].detach().double().numpy().T
        k += head.kv.bias[:width].detach().double().numpy()
        for h in range(heads):
            part = slice(h * width // heads, (h + 1) * width // heads)
            scores = np.exp(k[:, part] @ q[part] / np.sqrt(width // heads))
            tokens[-len(kv) :] += scores / scores.sum() / heads
    return tokens


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    ("start", "residual"), [(0, 0.5), (0, 0.0), (1, 0.5), (2, 0.3), (0, 0.9), (2, 0.0)]
)
def test_value_rollout_from_the_modules_own_weights(
    vit: vitviz.Vit,
    photo: Image.Image,
    query: vitviz.recording.Query,
    start: int,
    residual: float,
) -> None:
    """f_h(x_j) as vectors: x_j seen as it enters the attention; W_V and W_O are the module's."""
    entering: dict[str, np.ndarray] = {}
    handles = [
        child.register_forward_pre_hook(
            lambda _, args, name=name: entering.update({name: args[0][0].double().numpy()})
        )
        for name, child in vit.module.named_modules()
        if name.endswith(("attn", "attn_pool"))
    ]
    rec = vitviz.record(vit, photo)
    for handle in handles:
        handle.remove()
    flow = np.eye(rec.num_tokens)
    for layer in range(start, rec.num_layers):
        name = rec.layers[layer].module
        module = vit.module.get_submodule(name)
        attention = rec.attention(layer).double().numpy()
        heads, width = rec.num_heads(layer), module.proj.in_features
        w_v = module.qkv.weight[-width:].detach().double().numpy()
        bias = getattr(module, "v_bias", None)
        if bias is None and module.qkv.bias is not None:
            bias = module.qkv.bias[-width:]
        values = entering[name] @ w_v.T + (0 if bias is None else bias.detach().double().numpy())
        w_o = module.proj.weight.detach().double().numpy()
        moved = 0.0
        for h in range(heads):
            part = slice(h * width // heads, (h + 1) * width // heads)
            f_h = values[:, part] @ w_o[:, part].T  # (tokens, width): one vector a token
            moved = moved + attention[h][:, :, None] * f_h[None]  # (queries, keys, width)
        norms = np.sqrt((moved**2).sum(-1))
        mixed = (1 - residual) * norms / norms.sum(1, keepdims=True)
        mixed += residual * np.eye(rec.num_tokens)
        flow = mixed / mixed.sum(1, keepdims=True) @ flow
    pooled = entering.get("attn_pool", np.zeros(0))
    expected = patches_of(rec, weights_by_hand(rec, query, pooled) @ flow)
    heat = vitviz.explain(rec, "value_rollout", query, start=start, residual=residual)
    np.testing.assert_allclose(heat.values, expected, atol=1e-5, rtol=1e-3)
