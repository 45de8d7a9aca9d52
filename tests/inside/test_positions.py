"""Positions against what the model computes and what must hold without them."""

from __future__ import annotations

import pytest
import timm
import torch
from hooks import is_left_alone

import vitviz
from vitviz.errors import ModelError, VitvizError
from vitviz.inside.positions import (
    permute_patches,
    position_embedding,
    position_similarity,
    swapped,
    with_patches,
    without_positions,
)
from vitviz.inside.tokens import patch_vectors

NAMES = ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_small_patch14_reg4_dinov2"]


@pytest.fixture(scope="module", params=NAMES)
def rec(request: pytest.FixtureRequest) -> vitviz.Recording:
    torch.manual_seed(0)
    size = {"img_size": 112} if "dinov2" in request.param else {"img_size": 96}
    module = timm.create_model(request.param, depth=2, num_classes=7, **size).eval()
    with torch.no_grad():
        for name, weights in module.named_parameters():  # a new model's blocks add next to nothing
            if name.endswith("gamma"):
                weights.fill_(1)
            elif weights.ndim > 1:
                weights.normal_(std=weights[0].numel() ** -0.5)
        module.pos_embed.normal_()
    return vitviz.record(vitviz.from_module(module), vitviz.load_image(vitviz.samples()[0].path))


def shuffled(rec: vitviz.Recording) -> torch.Tensor:
    return torch.randperm(rec.grid[0] * rec.grid[1], generator=torch.Generator().manual_seed(1))


def test_they_are_what_the_first_block_reads_beyond_the_patches(rec: vitviz.Recording) -> None:
    read: list[torch.Tensor] = []
    hook = rec.vit.module.blocks[0].register_forward_pre_hook(lambda _, args: read.append(args[0]))
    with torch.no_grad():
        rec.vit.module(rec.pixels[None])
    hook.remove()
    patches = read[0][0, rec.num_prefix_tokens :].unflatten(0, rec.grid)
    torch.testing.assert_close(patch_vectors(rec) + position_embedding(rec), patches)


def test_a_place_is_most_like_itself(rec: vitviz.Recording) -> None:
    found = position_similarity(rec).flatten(0, 1).flatten(1)
    torch.testing.assert_close(found.diagonal(), torch.ones(len(found)))
    torch.testing.assert_close(found, found.T)
    assert found.abs().max() <= 1 + 1e-5
    one, other = position_embedding(rec)[0, 1], position_embedding(rec)[2, 3]
    assert float(found[1, 2 * rec.grid[1] + 3]) == pytest.approx(
        float(one @ other / (one @ one).sqrt() / (other @ other).sqrt()), abs=1e-5
    )


def test_without_positions_the_order_means_nothing(rec: vitviz.Recording) -> None:
    bare, order = without_positions(rec), shuffled(rec)
    assert not torch.allclose(bare.logits, rec.logits, atol=1e-3)
    again = with_patches(bare, order)
    torch.testing.assert_close(again.logits, bare.logits, atol=1e-4, rtol=1e-4)
    row, moved = bare.patches(bare.attention_row(1)), again.patches(again.attention_row(1))
    torch.testing.assert_close(row.flatten(1)[:, order], moved.flatten(1), atol=1e-5, rtol=1e-3)
    assert not torch.allclose(with_patches(rec, order).logits, rec.logits, atol=1e-3)


def test_the_shared_model_stays_as_it_is(rec: vitviz.Recording) -> None:
    before = rec.vit.module.pos_embed.detach().clone()
    without_positions(rec)
    assert torch.equal(rec.vit.module.pos_embed, before)
    with torch.no_grad():
        assert torch.equal(rec.vit.module(rec.pixels[None])[0], rec.logits)
    assert is_left_alone(rec.vit.module)


def test_the_usual_order_changes_nothing(rec: vitviz.Recording) -> None:
    usual = torch.arange(rec.grid[0] * rec.grid[1])
    assert torch.equal(permute_patches(rec, usual), rec.pixels)
    same = with_patches(rec, usual)
    assert torch.equal(same.logits, rec.logits)
    assert same.box == rec.box


def test_two_patches_change_places(rec: vitviz.Recording) -> None:
    changed = permute_patches(rec, swapped(rec, (0, 1), (2, 0)))
    height, width = rec.patch_size

    def patch(pixels: torch.Tensor, row: int, col: int) -> torch.Tensor:
        y, x = row * height, col * width
        return pixels[:, y : y + height, x : x + width]

    assert torch.equal(patch(changed, 0, 1), patch(rec.pixels, 2, 0))
    assert torch.equal(patch(changed, 2, 0), patch(rec.pixels, 0, 1))
    assert torch.equal(patch(changed, 1, 1), patch(rec.pixels, 1, 1))
    same = swapped(rec, (1, 1), (1, 1))
    assert torch.equal(permute_patches(rec, same), rec.pixels)


def test_an_order_that_is_none_is_refused(rec: vitviz.Recording) -> None:
    with pytest.raises(VitvizError, match="each of the"):
        permute_patches(rec, torch.zeros(4, dtype=torch.long))


def test_a_model_with_rotary_places_is_refused() -> None:
    module = timm.create_model("eva02_tiny_patch14_224", depth=1, img_size=56, num_classes=3).eval()
    rec = vitviz.record(vitviz.from_module(module), vitviz.load_image(vitviz.samples()[0].path))
    with pytest.raises(ModelError, match="absolute position"):
        without_positions(rec)
