"""Gradient methods on models that are built otherwise than timm's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import timm
import torch
from families import random_classifier
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import vitviz


class TwoBlocks(nn.Module):
    """Its head reads the class token after each of the last two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = random_classifier("vit")
        self.head = nn.Linear(384, 5)

    def forward(self, x: Tensor) -> Tensor:
        states: list[Tensor] = []
        x = self.vit._pos_embed(self.vit.patch_embed(x))
        for block in self.vit.blocks:
            x = block(x)
            states.append(x[:, 0])
        return self.head(torch.cat(states[-2:], dim=-1))


def test_legrad_refuses_a_head_that_reads_more_than_the_last_tokens(photo: Image.Image) -> None:
    torch.manual_seed(0)
    transform = vitviz.from_module(random_classifier("vit")).transform
    rec = vitviz.record(vitviz.from_module(TwoBlocks(), transform=transform), photo)
    with pytest.raises(vitviz.MethodError, match="use relevance"):
        vitviz.explain(rec, "legrad")
    assert vitviz.explain(rec, "relevance").values.max() > 0


def test_legrad_asks_what_the_model_itself_makes_of_its_tokens(photo: Image.Image) -> None:
    """Twice the score has twice the gradient, whatever it is that doubles it."""
    module = random_classifier("vit")
    one = vitviz.record(vitviz.from_module(copy.deepcopy(module)), photo)
    forward = module.forward
    module.forward = lambda x: 2 * forward(x)
    other = vitviz.record(vitviz.from_module(module), photo)
    found, wanted = (vitviz.explain(rec, "legrad").values for rec in (other, one))
    np.testing.assert_allclose(found, 2 * wanted, rtol=1e-4)


class Wrapped(nn.Module):
    """A ViT whose blocks cannot be found by name."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = random_classifier("vit")
        self.patch_embed, self.num_prefix_tokens = self.vit.patch_embed, 1
        self.cls_token = self.vit.cls_token

    def forward(self, x: Tensor) -> Tensor:
        return self.vit(x)


def test_a_model_without_named_blocks(photo: Image.Image) -> None:
    plain = vitviz.from_module(random_classifier("vit"))
    wrapped = vitviz.from_module(
        Wrapped(), transform=transforms.Compose(plain.transform.transforms)
    )
    one, other = vitviz.record(plain, photo), vitviz.record(wrapped, photo)
    for method in ("relevance", "gradient_rollout", "gradcam", "legrad"):
        expected = vitviz.explain(one, method).values
        assert np.array_equal(vitviz.explain(other, method).values, expected)
    with pytest.raises(vitviz.MethodError, match="does not say which its blocks are"):
        vitviz.explain(other, "rollout", artefacts="mask")


def test_gradcam_of_tokens_that_stand_in_rows_and_columns(photo: Image.Image) -> None:
    """SAM's blocks read (rows, cols, width); the sums by hand."""
    torch.manual_seed(0)
    sizes = {"img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 4}
    module = timm.create_model(
        "samvit_base_patch16", window_size=0, global_attn_indexes=(0, 1), **sizes
    ).eval()
    rec = vitviz.record(vitviz.from_module(module), photo)
    assert rec.is_plain
    given: list[Tensor] = []
    hook = module.blocks[-1].attn.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    logits = module(rec.pixels[None])[0]
    hook.remove()
    [slope] = torch.autograd.grad(logits[rec.predictions[0].index], given)
    wanted = (given[0][0].detach() @ slope[0].mean(dim=(0, 1))).clamp(min=0)
    found = torch.tensor(vitviz.explain(rec, "gradcam").values)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-4)
