"""What a Vision Transformer says of its own tokens, for the libraries that people take them from.

timm's names are the vocabulary here. Models of torchvision, transformers and open_clip say the same
in other words, and those of transformers return more than a tensor: `adapted` wraps them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

__all__ = [
    "Anatomy",
    "adapted",
    "anatomy_of",
    "any_size_patch",
    "block_names",
    "float_type",
    "is_timms",
    "patch_size",
]

Grid = tuple[int, int]

BLOCK_LISTS = ("blocks", "encoder.layers", "transformer.resblocks")  # timm, torchvision, open_clip


@dataclass(frozen=True)
class Anatomy:
    """Which of a model's tokens are patches.

    Attributes:
        grid: (height, width) of an input in pixels → (rows, cols) of its patches.
        num_prefix_tokens: class, distillation and register tokens in front of the patches.
        has_class_token: whether the first of them is a class token.
    """

    grid: Callable[[Grid], Grid]
    num_prefix_tokens: int = 1
    has_class_token: bool = True


class Logits(nn.Module):
    """A model of transformers as timm's are: pixels (batch, 3, height, width) → logits, or the
    first token's last vector where there is no classifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        config: Any = model.config
        classifies = any("classifier" in name for name, _ in model.named_children())
        self.num_classes = int(config.num_labels) if classifies else 0
        # What it classifies: BEiT the mean of its patches, although it has a class token.
        self.global_pool = "avg" if getattr(config, "use_mean_pooling", False) else ""

    def forward(self, pixels: Tensor) -> Tensor:
        output = self.model(pixels)
        found: Tensor = output.logits if self.num_classes else output.last_hidden_state[:, 0]
        return found


def adapted(module: nn.Module) -> nn.Module:
    """The module itself if it returns a tensor; a model of transformers wrapped so that it does."""
    return Logits(module) if type(module).__module__.startswith("transformers.") else module


def is_timms(module: nn.Module) -> bool:
    """Whether timm made the model."""
    return type(module).__module__.startswith("timm.")


def anatomy_of(module: nn.Module) -> Anatomy | None:
    """What a model says of its tokens; None where it does not say so in a way known here."""
    known: Any = module
    if isinstance(module, Logits):
        return _of_transformers(module.model)
    if isinstance(module, VisionTransformer):
        return Anatomy(_cut_by(module.patch_size))
    if type(module).__module__.startswith("open_clip.") and hasattr(module, "class_embedding"):
        return Anatomy(_cut_by(known.patch_size))
    grid = getattr(getattr(module, "patch_embed", None), "dynamic_feat_size", None)
    if grid is None or getattr(module, "num_prefix_tokens", None) is None:
        return None
    return Anatomy(grid, known.num_prefix_tokens, getattr(module, "cls_token", None) is not None)


def _of_transformers(model: Any) -> Anatomy | None:
    """Class token, distillation token and registers are parameters of its embedding."""
    patch = getattr(model.config, "patch_size", None)
    names = {name.rpartition(".")[2] for name, _ in model.named_parameters()}
    if patch is None:
        return None
    has_class_token = bool(names & {"cls_token", "class_embedding"})
    registers = getattr(model.config, "num_register_tokens", 0)
    prefix = has_class_token + ("distillation_token" in names) + registers
    return Anatomy(_cut_by(patch), prefix, has_class_token)


def _cut_by(patch: int | tuple[int, int]) -> Callable[[Grid], Grid]:
    """The grid that patches of this size, one number or (height, width), cut from an input."""
    height, width = (patch, patch) if isinstance(patch, int) else patch
    return lambda size: (size[0] // height, size[1] // width)


def any_size_patch(module: nn.Module) -> Grid | None:
    """(height, width) of the patches of a model that takes any number of them; None if its input
    has one size. timm's models are told so when they are made, with dynamic_img_size=True."""
    if not getattr(module, "dynamic_img_size", False):
        return None
    embed: Any = getattr(module, "patch_embed", None)
    height, width = embed.patch_size
    return height, width


def block_names(module: nn.Module) -> list[str]:
    """Names of the model's blocks in order; none if it does not keep them in a known place."""
    for name, child in module.named_modules():
        listed = isinstance(child, (nn.Sequential, nn.ModuleList)) and name in BLOCK_LISTS
        if listed or (isinstance(module, Logits) and isinstance(child, nn.ModuleList)):
            return [f"{name}.{block}" for block, _ in child.named_children()]
    return []


def float_type(module: nn.Module) -> torch.dtype:
    """The float type of the module's weights."""
    types = (p.dtype for p in module.parameters() if p.is_floating_point())
    return next(types, torch.float32)


def patch_size(module: nn.Module, size: Grid, grid: Grid) -> Grid:
    """(height, width) of a patch in pixels: the stride of the convolution that cuts the input, or,
    behind a stem of other layers, the input's share.

    Args:
        module: the model.
        size: (height, width) of its input.
        grid: (rows, cols) of the patches.
    """
    embed = getattr(module, "patch_embed", None)
    cut = getattr(embed, "proj", None)
    if isinstance(cut, nn.Conv2d) and not hasattr(embed, "backbone"):
        height, width = cut.stride
        return height, width
    sides = (math.ceil(side / n) for side, n in zip(size, grid, strict=True))
    return next(sides), next(sides)
