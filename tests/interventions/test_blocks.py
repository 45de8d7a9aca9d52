"""The model run block by block: the plain blocks give the model's own logits."""

from __future__ import annotations

import pytest
import torch
from families import random_module
from PIL import Image

import vitviz
from vitviz.interventions.blocks import run_blocks


@pytest.mark.parametrize("family", ["vit", "deit distilled", "dinov2 registers"])
def test_plain_blocks_give_the_models_logits(family: str, photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_module(family)), photo)
    anatomy = rec.vit.anatomy
    found = run_blocks(rec, lambda layer, x: anatomy.process(layer, anatomy.attend(layer, x)))
    torch.testing.assert_close(found, rec.logits.float(), atol=1e-4, rtol=1e-4)


def test_a_block_that_does_nothing_hands_on_what_came_in(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    seen: list[torch.Tensor] = []

    def block(_: int, tokens: torch.Tensor) -> torch.Tensor:
        seen.append(tokens)
        return tokens

    logits = run_blocks(rec, block)
    assert len(seen) == rec.num_layers
    assert seen[0].shape == (1, rec.num_tokens, rec.vit.anatomy.width)
    assert torch.equal(seen[0], seen[-1])
    assert not torch.allclose(logits, rec.logits.float(), atol=1e-3)


def test_a_mask_shuts_tokens_out(photo: Image.Image) -> None:
    """A token that sees itself alone gets the projection of its own value."""
    rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
    anatomy, block = rec.vit.anatomy, rec.vit.anatomy.block(0)
    tokens = torch.randn(1, 5, anatomy.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = anatomy.attend(0, tokens, torch.eye(5, dtype=torch.bool)) - tokens
        values = block.attn.qkv(block.norm1(tokens)).chunk(3, dim=-1)[2]
        torch.testing.assert_close(found, block.attn.proj(values), atol=1e-5, rtol=1e-4)


def test_blocks_of_another_kind_are_refused(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_module("beit")), photo)
    with pytest.raises(vitviz.ModelError, match="one after the other"):
        run_blocks(rec, lambda _, tokens: tokens)
