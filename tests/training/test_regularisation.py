"""Blocks and weights left out, against a model made without them, and against means."""

from __future__ import annotations

import pytest
import timm
import torch
from families import make_photo
from torch import nn

import vitviz
from vitviz.training.regularisation import drop_attention, weights_left, without_each_block


def test_a_model_without_a_block_is_one_made_without_it() -> None:
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "num_heads": 2, "depth": 3}
    module = timm.create_model("vit_tiny_patch16_224", num_classes=5, **sizes).eval()
    rec = vitviz.record(vitviz.from_module(module), make_photo())
    found = without_each_block(rec)
    assert found.shape == (3, 5)
    blocks = list(module.blocks)
    for left_out in range(3):
        module.blocks = nn.Sequential(*(b for i, b in enumerate(blocks) if i != left_out))
        with torch.no_grad():
            expected = module(rec.pixels[None])[0]
        assert torch.allclose(found[left_out], expected, atol=1e-5)
        assert not torch.allclose(found[left_out], rec.logits, atol=1e-4)


def test_dropping_keeps_the_mean() -> None:
    weights = torch.rand(20).softmax(dim=0)
    found = torch.stack([drop_attention(weights, 0.3, seed) for seed in range(4000)])
    assert torch.allclose(found.mean(dim=0), weights, rtol=0.1)
    kept = found[0] > 0
    assert torch.allclose(found[0][kept], weights[kept] / 0.7)
    assert torch.equal(drop_attention(weights, 0.0, 0), weights)


def test_decay_is_what_adamw_does_to_a_weight_without_gradient() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.2)
    for _ in range(5):
        weight.grad = torch.zeros(1)
        optimizer.step()
    assert float(weight.detach()) == pytest.approx(2 * weights_left(0.1, 0.2, 5), rel=1e-6)
    assert weights_left(0.1, 0.2, 5) == pytest.approx(0.98**5)
