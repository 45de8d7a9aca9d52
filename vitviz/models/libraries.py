"""What models of timm, torchvision, transformers and open_clip say of themselves: which of their
tokens are patches, what their numbers mean, how their classes are called.

timm's names are the vocabulary here. The others say the same in other words. Models are known by
what they hold, not by their class: one may subclass them or write them anew.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from timm.models import FeatureInfo
from torch import nn
from torchvision.models import VisionTransformer

from vitviz.arguments import check_fields
from vitviz.errors import FAILURES, ModelError, VitvizError, in_a_line
from vitviz.models.labels import label_names
from vitviz.models.outputs import Meaning

__all__ = [
    "BLOCK_LISTS",
    "Grid",
    "Tokens",
    "declared_meaning",
    "forget_state",
    "gives_features",
    "heads_of",
    "holds_weights",
    "is_timms",
    "of_transformers",
    "pretrained_config",
    "says_origin",
    "tokens_of",
    "transformers_labels",
    "unwrapped",
]

Grid = tuple[int, int]

BLOCK_LISTS = ("blocks", "encoder.layers", "transformer.resblocks")  # timm, torchvision, open_clip

# How transformers calls them.
PROBLEM_TYPES: dict[str, Meaning] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "score",
}


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


def says_origin(module: nn.Module) -> bool:
    """Whether a config says what it was trained for, as in timm's models."""
    return hasattr(module, "pretrained_cfg")


def pretrained_config(module: nn.Module) -> Mapping[str, Any]:
    """What timm's config says of a model: its architecture, its colours, its classes; empty where
    there is none."""
    config = getattr(module, "pretrained_cfg", None)
    return config if isinstance(config, Mapping) else {}


def forget_state(module: nn.Module) -> None:
    """Take the weights out of timm's config that a model was made with: it holds them now."""
    config: Any = pretrained_config(module)
    config.pop("state_dict", None)


def transformers_labels(config: Any) -> tuple[str, ...]:
    """The names of the classes in a config of transformers; none where there are only the
    placeholders that it puts in."""
    names: Mapping[int, str] = getattr(config, "id2label", None) or {}
    placeholders = all(name == f"LABEL_{index}" for index, name in names.items())
    return () if placeholders else label_names(names)


def heads_of(attention: nn.Module) -> int:
    """How many heads an attention module says it has; 1 where it does not say."""
    heads = getattr(attention, "num_heads", 0) or getattr(attention, "heads", 0)
    return int(heads or 1)


def holds_weights(module: nn.Module) -> bool:
    """Whether a module multiplies with weights of its own; a quantised layer has no parameters."""
    alone = next(module.children(), None) is None
    own = next(module.parameters(recurse=False), None) is not None
    return (alone and own) or hasattr(module, "in_features")


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


def declared_meaning(module: nn.Module, classes: int | None) -> Meaning | None:
    """What a model says of its numbers; None if it does not.

    Args:
        module: the model.
        classes: how many numbers its classifier gives, 0 if it has none; None if it does not say.
    """
    if classes == 0:
        return "embedding"
    inner: Any = getattr(module, "model", module)  # of transformers, wrapped
    config = getattr(inner, "config", None)
    kind = PROBLEM_TYPES.get(getattr(config, "problem_type", None) or "")
    if kind is None and classes == 1:
        return "score"
    if kind is None and getattr(module, "class_embedding", None) is not None:
        projection = getattr(module, "proj", None)  # an image tower of CLIP, which has no classes
        return "embedding" if isinstance(projection, nn.Parameter) else None
    return kind
