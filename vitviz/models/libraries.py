"""Models of timm, torchvision, transformers and open_clip: which of their tokens are patches.

timm's names are the vocabulary here. The others say the same in other words, and models of
transformers return more than a tensor: `adapted` wraps them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torchvision.models import VisionTransformer

from vitviz.arguments import check_fields

__all__ = ["Grid", "Logits", "Tokens", "adapted", "is_timms", "tokens_of"]

Grid = tuple[int, int]


@dataclass(frozen=True)
class Tokens:
    """Which of a model's tokens are patches.

    Attributes:
        grid: (height, width) of an input in pixels → (rows, cols) of its patches.
        num_prefix_tokens: class, distillation and register tokens in front of the patches.
        has_class_token: whether the first of them is a class token.

    Examples:
        >>> tokens = Tokens(grid=lambda size: (size[0] // 16, size[1] // 16), num_prefix_tokens=5)
        >>> tokens.grid((224, 224))
        (14, 14)
    """

    grid: Callable[[Grid], Grid]
    num_prefix_tokens: int = 1
    has_class_token: bool = True

    def __post_init__(self) -> None:
        check_fields(self)


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


def tokens_of(module: nn.Module) -> Tokens | None:
    """What a model says of its tokens; None where it does not say so in a way known here."""
    known: Any = module
    if isinstance(module, Logits):
        return _of_transformers(module.model)
    if isinstance(module, VisionTransformer):
        return Tokens(_cut_by(module.patch_size))
    if type(module).__module__.startswith("open_clip.") and hasattr(module, "class_embedding"):
        return Tokens(_cut_by(known.patch_size))
    grid = getattr(getattr(module, "patch_embed", None), "dynamic_feat_size", None)
    if grid is None or getattr(module, "num_prefix_tokens", None) is None:
        return None
    return Tokens(grid, known.num_prefix_tokens, getattr(module, "cls_token", None) is not None)


def _of_transformers(model: Any) -> Tokens | None:
    """Class token, distillation token and registers are parameters of its embedding."""
    patch = getattr(model.config, "patch_size", None)
    names = {name.rpartition(".")[2] for name, _ in model.named_parameters()}
    if patch is None:
        return None
    has_class_token = bool(names & {"cls_token", "class_embedding"})
    registers = getattr(model.config, "num_register_tokens", 0)
    prefix = has_class_token + ("distillation_token" in names) + registers
    return Tokens(_cut_by(patch), prefix, has_class_token)


def _cut_by(patch: int | tuple[int, int]) -> Callable[[Grid], Grid]:
    """The grid that patches of this size, one number or (height, width), cut from an input."""
    height, width = (patch, patch) if isinstance(patch, int) else patch
    return lambda size: (size[0] // height, size[1] // width)
