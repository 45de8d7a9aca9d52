"""Small random models of every family, and photos."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn

# Family → timm name and arguments; small, with the family's own kind of attention.
FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "vit": ("vit_tiny_patch16_224", {"img_size": (64, 96)}),
    "deit distilled": ("deit_tiny_distilled_patch16_224", {"img_size": 64}),
    "dinov2 registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 70, "num_classes": 5}),
    "beit": ("beit_base_patch16_224", {"img_size": 64, "embed_dim": 96, "num_heads": 3}),
    "eva02": ("eva02_tiny_patch14_224", {"img_size": 70, "num_classes": 5}),
    "dinov3": ("vit_small_patch16_dinov3", {"img_size": 64, "num_classes": 5}),
    "siglip": ("vit_base_patch16_siglip_224", {"img_size": 64, "embed_dim": 96, "num_heads": 3}),
    "average pooled": (
        "vit_tiny_patch16_224",
        {"img_size": 64, "class_token": False, "global_pool": "avg"},
    ),
}


def random_module(family: str, depth: int = 3) -> nn.Module:
    """A random model whose attention is far from uniform, so that a wrong map shows. Each call
    gives another copy, and leaves torch's generator at the same place."""
    module, state = _built(family, depth)
    torch.set_rng_state(state)
    return deepcopy(module)


@cache
def _built(family: str, depth: int) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    name, arguments = FAMILIES[family]
    module = timm.create_model(name, depth=depth, **arguments).eval()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "qkv.weight" in key or "kv.weight" in key or "q.weight" in key:
                parameter.normal_(std=0.12)
            elif "relative_position" in key or "pos_embed" in key:
                parameter.normal_(std=0.5)
            elif "gamma" in key:
                parameter.fill_(1.0)
    return module, torch.get_rng_state()


def set_fused(module: nn.Module, fused: bool) -> None:
    """Switch the fused kernel of every attention layer on or off."""
    for child in module.modules():
        if hasattr(child, "fused_attn"):
            child.fused_attn = fused


def make_photo(seed: int = 0, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Smooth random colours: neighbouring patches differ, as in a photo."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def random_classifier(family: str, depth: int = 3) -> nn.Module:
    """The same with a head whose classes differ, also in families that come without one."""
    module = random_module(family, depth)
    module.reset_classifier(5)
    for head in (module.head, getattr(module, "head_dist", None)):
        if head is not None:
            nn.init.normal_(head.weight, std=0.5)
    return module
