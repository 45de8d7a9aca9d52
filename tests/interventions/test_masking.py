"""Where patches lie in an input that is not a whole number of them."""

from __future__ import annotations

import timm
import torch
from PIL import Image
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

import vitviz
from vitviz.interventions.masking import mask_patches


def recorded(side: int, photo: Image.Image, **options: int) -> vitviz.Recording:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=5, **options).eval()
    transform = Compose([Resize((side, side)), ToTensor(), Normalize([0.5] * 3, [0.5] * 3)])
    return vitviz.record(vitviz.from_module(module, transform=transform), photo)


def test_pixels_behind_the_last_patch_are_no_part_of_it(photo: Image.Image) -> None:
    """timm takes 41 pixels at a patch size of 16 and reads 32 of them."""
    rec = recorded(41, photo, img_size=41)
    assert rec.grid == (2, 2)
    assert rec.patch_size == (16, 16)
    left, top, right, bottom = rec.box
    assert (right - left, bottom - top) == (photo.width * 32 / 41, photo.height * 32 / 41)
    everything = torch.ones(1, 2, 2, dtype=torch.bool)
    masked = mask_patches(rec, everything, torch.tensor(9.0))[0]
    assert (masked[:, :32, :32] == 9).all()
    assert torch.equal(masked[:, 32:], rec.pixels[:, 32:])
    assert torch.equal(masked[:, :, 32:], rec.pixels[:, :, 32:])


def test_a_padded_patch_is_masked_as_far_as_there_are_pixels(photo: Image.Image) -> None:
    """timm pads 17 pixels to two patches of 16."""
    rec = recorded(17, photo, dynamic_img_size=True, dynamic_img_pad=True)
    assert rec.grid == (2, 2)
    left, top, right, bottom = rec.box
    assert (right - left, bottom - top) == (photo.width * 32 / 17, photo.height * 32 / 17)
    corner = torch.tensor([[[False, False], [False, True]]])
    masked = mask_patches(rec, corner, torch.tensor(9.0))[0]
    assert (masked == 9).sum() == 3  # one pixel of three colours


def test_a_masked_patch_changes_its_own_token_only(photo: Image.Image) -> None:
    rec = recorded(41, photo, img_size=41)
    lower_left = torch.tensor([[[False, False], [True, False]]])
    embed = rec.vit.module.patch_embed
    with torch.no_grad():
        before = embed(rec.pixels[None])
        after = embed(mask_patches(rec, lower_left, torch.tensor(0.0)))
    changed = (before != after).any(dim=-1).flatten().tolist()
    assert changed == [False, False, True, False]
