"""Squares of a photo: shuffled, hidden, shifted, and seen without a model's own cut."""

from __future__ import annotations

import pytest
import timm
import torch
from families import make_photo
from timm.data import IMAGENET_DEFAULT_MEAN

import vitviz
from vitviz.interventions.squares import (
    cut_square,
    hide_pieces,
    predict_square,
    record_square,
    shuffle_pieces,
    wide_square,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_square_is_the_middle_and_moves_by_pixels() -> None:
    wide = wide_square(make_photo())
    assert wide.shape == (3, 252, 252)
    assert torch.equal(cut_square(wide), wide[:, 14:238, 14:238])
    assert torch.equal(cut_square(wide, 14), wide[:, 14:238, 28:252])
    assert torch.equal(cut_square(wide, 3)[:, :, :-3], cut_square(wide)[:, :, 3:])


@pytest.mark.parametrize("piece", [14, 28, 56, 112])
def test_shuffled_pieces_are_the_same_pieces_elsewhere(piece: int) -> None:
    square = torch.rand(3, 224, 224)
    shuffled = shuffle_pieces(square, piece, seeded())

    def pieces(found: torch.Tensor) -> list[bytes]:
        cut = found.unfold(1, piece, piece).unfold(2, piece, piece).permute(1, 2, 0, 3, 4)
        return [bytes(each.contiguous().numpy().data) for each in cut.flatten(0, 1)]

    assert pieces(shuffled) != pieces(square)
    assert sorted(pieces(shuffled)) == sorted(pieces(square))
    assert torch.equal(shuffle_pieces(square, 224, seeded()), square)


def test_hidden_pieces_are_grey_and_more_hide_more() -> None:
    square = torch.rand(3, 224, 224)
    grey = torch.tensor(IMAGENET_DEFAULT_MEAN)[:, None, None]
    hidden = [
        (hide_pieces(square, 14, share, seeded()) == grey).all(dim=0) for share in (0, 0.5, 0.75, 1)
    ]
    assert [int(found.sum()) for found in hidden] == [0, 128 * 196, 192 * 196, 256 * 196]
    assert (hidden[2] | ~hidden[1]).all()
    shown = hide_pieces(square, 14, 0.5, seeded())
    assert torch.equal(shown[:, ~hidden[1]], square[:, ~hidden[1]])


def test_a_square_is_seen_as_the_models_own_transform_would_show_it() -> None:
    torch.manual_seed(0)
    sizes = {"img_size": 224, "patch_size": 56, "embed_dim": 12, "depth": 1, "num_heads": 2}
    module = timm.create_model("vit_tiny_patch16_224", num_classes=5, **sizes)
    vit = vitviz.from_module(module.eval())
    square = torch.rand(3, 224, 224)
    found = predict_square(vit, square)
    with torch.no_grad():
        expected = module(2 * square[None] - 1)[0].softmax(dim=0)  # mean and spread are 0.5
    assert [p.value for p in sorted(found, key=lambda p: p.index)] == pytest.approx(
        expected.tolist(), abs=1e-6
    )
    assert found[0].index == int(expected.argmax())


def test_a_larger_square_is_the_models_own_input_at_its_own_size() -> None:
    torch.manual_seed(0)
    sizes = {"img_size": 64, "patch_size": 16, "embed_dim": 12, "depth": 1, "num_heads": 2}
    module = timm.create_model(
        "vit_tiny_patch16_224", num_classes=5, dynamic_img_size=True, **sizes
    )
    vit = vitviz.from_module(module.eval())
    found = record_square(vit, make_photo(), 96)
    assert (found.grid, found.pixels.shape, found.box) == ((6, 6), (3, 96, 96), (0, 0, 96, 96))
    assert float(found.pixels.min()) >= -1
    with torch.no_grad():
        assert torch.allclose(found.logits, module(found.pixels[None])[0], atol=1e-5)
