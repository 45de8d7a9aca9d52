"""Models of timm, torchvision, transformers and open_clip: which of their tokens are patches.

timm's names are the vocabulary here. The others say the same in other words. Models are known by
what they hold, not by their class: one may subclass them or write them anew.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from timm.models import FeatureInfo
from torch import nn
from torchvision.models import VisionTransformer

from vitviz.arguments import check_fields
from vitviz.errors import FAILURES, ModelError, VitvizError, in_a_line

__all__ = [
    "Grid",
    "Tokens",
    "gives_features",
    "is_timms",
    "of_transformers",
    "tokens_of",
    "unwrapped",
]

Grid = tuple[int, int]


@dataclass(frozen=True)
class Tokens:
    """Which of a model's tokens are patches.

    Attributes:
        grid: (height, width) of an input in pixels → (rows, cols) of its patches.
        num_prefix_tokens: class, distillation and register tokens in front of the patches.
        has_class_token: whether the first of them is a class token.

    Raises:
        VitvizError: for fields of another kind, or fewer than no tokens in front.

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
        if self.num_prefix_tokens < 0:
            raise VitvizError(
                "prefix_below_zero",
                "num_prefix_tokens is {count}; it says how many tokens stand in front of the "
                "patches.",
                count=self.num_prefix_tokens,
            )

    def grid_of(self, size: Grid) -> Grid:
        """(rows, cols) of an input of this (height, width).

        Raises:
            ModelError: if its owner's function does not say so.
        """
        try:
            found = self.grid(size)
            rows, cols = map(operator.index, found)
        except FAILURES as error:
            raise _no_grid(size, in_a_line(error)) from error
        if rows < 1 or cols < 1:
            raise _no_grid(size, f"({rows}, {cols})")
        return rows, cols


def _no_grid(size: Grid, given: str) -> ModelError:
    return ModelError(
        "no_grid",
        "The grid of tokens= does not give (rows, columns) of an input of {size} px: {given}.",
        size="{} × {}".format(*size),
        given=given,
    )


def unwrapped(module: nn.Module) -> nn.Module:
    """The model inside those of torch's wrappers that compute nothing of their own: the copies of
    DataParallel would run in threads that no recorder watches."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inner = module.module if isinstance(module, parallel) else None
        inner = getattr(module, "_orig_mod", inner)  # of torch.compile
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def is_timms(module: nn.Module) -> bool:
    """Whether timm made the model."""
    return type(module).__module__.startswith("timm.")


def gives_features(module: nn.Module) -> bool:
    """Whether timm made the model with features_only=True: it gives several maps of features."""
    return isinstance(getattr(module, "feature_info", None), FeatureInfo)


def of_transformers(module: nn.Module) -> bool:
    """Whether it is a Vision Transformer as transformers' are: its config says how it cuts."""
    return getattr(getattr(module, "config", None), "patch_size", None) is not None and any(
        isinstance(child, nn.ModuleList) for child in module.modules()
    )


def tokens_of(module: nn.Module) -> Tokens | None:
    """What a model says of its tokens; None where it does not say so in a way known here."""
    known: Any = module
    if of_transformers(module):
        return _of_transformers(module)
    if isinstance(module, VisionTransformer):
        return Tokens(_cut_by(module.patch_size))
    if hasattr(module, "class_embedding") and hasattr(module, "patch_size"):  # open_clip
        return Tokens(_cut_by(known.patch_size))
    grid = getattr(getattr(module, "patch_embed", None), "dynamic_feat_size", None)
    if grid is None or getattr(module, "num_prefix_tokens", None) is None:
        return None
    return Tokens(grid, known.num_prefix_tokens, getattr(module, "cls_token", None) is not None)


def _of_transformers(model: Any) -> Tokens:
    """Class token, distillation token and registers are parameters of its embedding."""
    names = {name.rpartition(".")[2] for name, _ in model.named_parameters()}
    has_class_token = bool(names & {"cls_token", "class_embedding"})
    registers = getattr(model.config, "num_register_tokens", 0)
    prefix = has_class_token + ("distillation_token" in names) + registers
    return Tokens(_cut_by(model.config.patch_size), prefix, has_class_token)


def _cut_by(patch: int | tuple[int, int]) -> Callable[[Grid], Grid]:
    """The grid that patches of this size, one number or (height, width), cut from an input."""
    height, width = (patch, patch) if isinstance(patch, int) else patch
    return lambda size: (size[0] // height, size[1] // width)
