"""The shapes of the numbers, against what the model's own parts put out."""

from __future__ import annotations

import pytest
import timm
import torch
from families import random_module

import vitviz
from vitviz.inside.architecture import shapes


def test_the_shapes_are_those_of_the_models_parts() -> None:
    torch.manual_seed(0)
    options = {"img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 4, "num_classes": 5}
    module = timm.create_model("vit_tiny_patch16_224", mlp_ratio=3, **options).eval()
    found: dict[str, tuple[int, ...]] = {}

    def keep(name: str) -> object:
        return lambda *called: found.update({name: tuple(called[-1].shape[1:])})

    block = module.blocks[0]
    parts = {
        "embedded": module.patch_embed,
        "placed": module.norm_pre,
        "joined": block.attn,
        "hidden": block.mlp.act,
        "features": module.head_drop,
        "logits": module.head,
    }
    for name, part in parts.items():
        part.register_forward_hook(keep(name))
    rec = vitviz.record(vitviz.from_module(module), vitviz.load_image(vitviz.samples()[0].path))
    ours = vars(shapes(rec))
    assert {name: ours[name] for name in parts} == found
    assert ours["pixels"] == (3, 64, 64)
    assert ours["patches"] == (16, 3 * 16 * 16)
    assert ours["queries"] == (4, 17, 12)
    assert ours["weights"] == tuple(rec.attention(0).shape)


def test_an_mlp_of_another_kind_is_refused() -> None:
    module = random_module("vit")
    module.blocks[0].mlp = torch.nn.Identity()
    rec = vitviz.record(vitviz.from_module(module), vitviz.load_image(vitviz.samples()[0].path))
    with pytest.raises(vitviz.ModelError, match="not two matrices"):
        shapes(rec)
