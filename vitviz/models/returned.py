"""The numbers that a model gives for a photo, whatever it returns them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitviz.errors import FAILURES, ModelError, in_a_line

__all__ = ["Logits", "adapted", "numbers_in", "run_module"]

LOGITS = ("logits", "class_logits", "pred_logits", "scores", "out", "output", "preds")
EMBEDDINGS = ("pooler_output", "image_embeds", "image_features", "embedding", "embeddings")
TOKENS = ("last_hidden_state", "x_norm_clstoken", "features")
"""Names under which models return class scores, one vector a photo, or a vector a token."""

Named = tuple[str, Tensor]


class Logits(nn.Module):
    """A model that returns more than a tensor, as timm's are: pixels (batch, channels, height,
    width) → logits (batch, classes), or a vector where there is no classifier.

    Args:
        model: the model.
        classes: how many classes its owner named, 0 if none: the numbers that are as many.
        num_classes: how many numbers its classifier gives, 0 without one.
    """

    def __init__(self, model: nn.Module, classes: int, num_classes: int) -> None:
        super().__init__()
        self.model = model
        self.classes = classes
        self.num_classes = num_classes

    def forward(self, pixels: Tensor) -> Tensor:
        return numbers_in(self.model(pixels), self.classes)[1]


def run_module(module: nn.Module, pixels: Tensor, name: str) -> Any:
    """What a module returns for an input, (batch, channels, height, width).

    Raises:
        ModelError: if it fails on it, called by this name.
    """
    try:
        return module(pixels)
    except FAILURES as error:
        raise ModelError(
            "model_fails",
            "{model} fails on an input {shape}: {reason}. It needs to take pixels (batch, "
            "channels, height, width) alone, as its transform makes them.",
            model=name,
            shape=tuple(pixels.shape),
            reason=in_a_line(error),
        ) from error


@torch.no_grad()
def adapted(
    module: nn.Module, pixels: Tensor, name: str, classes: int = 0
) -> tuple[nn.Module, int | None]:
    """The module itself if it gives one tensor of numbers or a map of features a photo; otherwise
    wrapped so that it gives the former; and how many numbers it gives, None for a map. It is run
    once.

    Args:
        module: in eval mode.
        pixels: an input, (1, channels, height, width).
        name: what to call it.
        classes: how many classes its owner named, 0 if none.

    Raises:
        ModelError: if it fails, or what it returns holds no such numbers, or several.
    """
    output = run_module(module, pixels, name)
    if isinstance(output, Tensor) and output.is_floating_point() and output.ndim in (2, 4):
        return module, output.shape[1] if output.ndim == 2 else None
    key, numbers = numbers_in(output, classes)
    is_vector = key in (*EMBEDDINGS, *TOKENS) and numbers.shape[-1] != classes
    count = 0 if is_vector else numbers.shape[-1]
    return Logits(module, classes, count), count


def numbers_in(output: Any, classes: int = 0) -> Named:
    """The numbers in what a model returned: their name there, and they themselves, (batch, n).

    Class scores come first, then one vector a photo, then the first token's.

    Args:
        output: a tensor, or tensors in a dict, a tuple or a dataclass.
        classes: how many they should be, 0 if nobody says.

    Raises:
        ModelError: if there are none, or several of different lengths and nothing tells which.
    """
    found = list(_tensors(output))
    vectors = [(name, x) for name, x in found if x.ndim == 2]
    fitting = [(name, x) for name, x in vectors if x.shape[1] == classes]
    named = {name: x for name, x in vectors if name in (*LOGITS, *EMBEDDINGS)}
    for name in (*LOGITS, *EMBEDDINGS):
        if name in named and not fitting:
            return name, named[name]
    vectors = fitting or vectors
    if len({x.shape[1] for _, x in vectors}) == 1:
        return vectors[0]
    if vectors:
        raise _unclear(vectors)
    for name, tokens in found:
        if tokens.ndim == 3:
            return TOKENS[0], tokens[:, 0]
        if tokens.ndim == 1 and name in (*LOGITS, "0"):  # one number a photo
            return LOGITS[0], tokens[:, None]
    raise _unclear(found)


def _tensors(output: Any) -> Iterator[Named]:
    """The float tensors in it by name or number, the outermost of each."""
    if isinstance(output, Tensor):
        items: list[tuple[Any, Any]] = [(0, output)]
    elif isinstance(output, Mapping):
        items = list(output.items())
    elif is_dataclass(output):
        items = [(field.name, getattr(output, field.name)) for field in fields(output)]
    elif isinstance(output, (tuple, list)):
        items = list(zip(getattr(output, "_fields", range(len(output))), output, strict=True))
    else:
        items = []
    for name, value in items:
        if isinstance(value, Tensor) and value.is_floating_point():
            yield str(name), value


def _unclear(found: list[Named]) -> ModelError:
    shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in found)
    return ModelError(
        "outputs_unclear",
        "What the model returns ({outputs}) does not tell which numbers are its classes; wrap it "
        "in a module that returns those alone, (batch, classes).",
        outputs=shapes or "—",
    )
