"""To append to tests/test_methods.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import random_module
from PIL import Image
from test_methods import QUERIES, by_hand, patches_of

import vitviz
from vitviz.recording import Recording


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
    """f_h(x_j) as vectors: x_j seen at the attention's door, W_V and W_O taken from the module."""
    doors: dict[str, np.ndarray] = {}
    handles = [
        child.register_forward_pre_hook(
            lambda _, args, name=name: doors.update({name: args[0][0].double().numpy()})
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
        values = doors[name] @ w_v.T + (0 if bias is None else bias.detach().double().numpy())
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
    pooled = doors.get("attn_pool", np.zeros(0))
    expected = patches_of(rec, weights_by_hand(rec, query, pooled) @ flow)
    heat = vitviz.explain(rec, "value_rollout", query, start=start, residual=residual)
    np.testing.assert_allclose(heat.values, expected, atol=1e-5, rtol=1e-3)


def test_rollout_of_heads_that_share_nothing_never_divides_by_zero() -> None:
    # min of [[1 0] [0 1]] and [[0 1] [1 0]] is zero everywhere, and no residual is added
    rec = by_hand([[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]], (1, 1), 1)
    try:
        heat = vitviz.explain(rec, "rollout", fusion="min", residual=0.0)
    except vitviz.MethodError:
        return
    assert np.isfinite(heat.values).all()


@pytest.mark.parametrize(
    "query", [(1,), (1, 2, 3), (1.5, 0), (1.0, 2.0), ("a", "b"), (None, 1), [1, 2], None, 5, ""]
)
def test_a_query_that_is_no_patch_is_refused(photo: Image.Image, query: object) -> None:
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    with pytest.raises(vitviz.VitvizError, match="is not a patch"):
        vitviz.explain(rec, "rollout", query)


@pytest.mark.parametrize(
    ("method", "option"), [("attention", "head"), ("attention", "layer"), ("rollout", "start")]
)
def test_true_is_no_number(photo: Image.Image, method: str, option: str) -> None:
    """`rows[True]` adds a dimension instead of taking head 1."""
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    with pytest.raises(vitviz.MethodError, match="not True"):
        vitviz.explain(rec, method, **{option: True})


def test_maps_do_not_depend_on_the_callers_autocast(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    alone = rec.attention(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rec.attention(1), alone)
