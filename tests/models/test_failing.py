"""What a model or a transform of one's own raises becomes a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import make_photo, random_classifier
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import vitviz

SQUARE = transforms.Compose([transforms.Resize((64, 96)), transforms.ToTensor()])
SMALLER = transforms.Compose([transforms.Resize((56, 56)), transforms.ToTensor()])


class Inside(nn.Module):
    """A model of timm, and something of one's own around it."""

    def __init__(self, change: Callable[..., Any] = lambda x: x, **arguments: Any) -> None:
        super().__init__()
        self.inner = random_classifier("vit", **arguments)
        self.change = change

    def forward(self, pixels: Tensor) -> Any:
        return self.change(self.inner(pixels))


class OfTwo(Inside):
    def forward(self, pixels: Tensor, mask: Tensor) -> Any:  # type: ignore[override]
        return super().forward(pixels) * mask


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("module", "transform", "says"),
    [
        (lambda: Inside(), SMALLER, "fails on an input (1, 3, 56, 56)"),
        (lambda: random_classifier("vit"), SMALLER, "fails on an input (1, 3, 56, 56)"),
        (lambda: Inside(raising(KeyError("mask"))), SQUARE, "'mask'"),
        (lambda: Inside(raising(ZeroDivisionError())), SQUARE, ": ZeroDivisionError."),
        (lambda: OfTwo(), SQUARE, "required positional argument: 'mask'"),
        (lambda: nn.Module(), SQUARE, 'missing the required "forward"'),
        (lambda: Inside(lambda y: y.argmax(dim=-1)), SQUARE, "does not tell which numbers"),
        (lambda: Inside(lambda y: y.argsort(dim=-1)), SQUARE, "does not tell which numbers"),
        (lambda: random_classifier("vit").to("meta"), SQUARE, "(on the device meta)"),
        (lambda: random_classifier("vit"), raising(ZeroDivisionError("none")), "a photo: none."),
        (lambda: random_classifier("vit"), raising(OSError(2, "no mean")), "no mean"),
    ],
)
def test_a_model_or_a_transform_that_fails(
    module: Callable[[], nn.Module], transform: Any, says: str
) -> None:
    with pytest.raises(vitviz.ModelError, match=re.escape(says)):
        vitviz.record(vitviz.from_module(module(), transform=transform), make_photo())


def test_an_exported_model() -> None:
    exported = torch.export.export(random_classifier("vit").eval(), (torch.zeros(1, 3, 64, 96),))
    with pytest.raises(vitviz.ModelError, match="was exported"):
        vitviz.from_module(exported.module(), transform=SQUARE)


def test_a_model_that_was_moved_after_it_was_taken() -> None:
    vit = vitviz.from_module(random_classifier("vit"), transform=SQUARE)
    vit.module.to("meta")
    with pytest.raises(vitviz.ModelError, match="made without numbers"):
        vitviz.record(vit, make_photo())


def test_what_raised_it_is_the_cause() -> None:
    own = KeyError("mask")
    with pytest.raises(vitviz.ModelError) as met:
        vitviz.from_module(Inside(raising(own)), transform=SQUARE)
    assert met.value.__cause__ is own


def test_a_transform_that_fails_on_one_photo_ends_neither_that_nor_an_evaluation(
    tmp_path: Path,
) -> None:
    def wide_only(photo: Image.Image) -> Tensor:
        if photo.width < photo.height:
            raise ValueError("too narrow")
        return SQUARE(photo)

    vit = vitviz.from_module(random_classifier("vit", depth=1), transform=wide_only)
    narrow, wide = make_photo(size=(40, 80)), make_photo(size=(80, 40))
    for ask in (vitviz.record, vitviz.predict):
        with pytest.raises(vitviz.ModelError, match="too narrow"):
            ask(vit, narrow)
    narrow.save(tmp_path / "narrow.png")
    wide.save(tmp_path / "wide.png")
    found = vitviz.evaluate(vit, tmp_path, methods=["random"], metrics=["saco"])
    assert [error["photo"] for error in found.errors] == ["narrow.png"]
    assert {summary.photos for summary in found.summaries} == {1}


@pytest.mark.parametrize(
    "grid",
    [
        lambda size: size[5],
        lambda _: "ab",
        lambda size: (size[0] / 16, size[1] / 16),
        lambda _: (4, 6, 1),
        lambda _: (0, 24),
        lambda _: None,
    ],
)
def test_a_grid_that_is_none(grid: Any) -> None:
    tokens = vitviz.Tokens(grid, 1)
    vit = vitviz.from_module(Inside(depth=1), transform=SQUARE, tokens=tokens)
    with pytest.raises(
        vitviz.ModelError, match=r"does not give \(rows, columns\) of an input of 64"
    ):
        vitviz.record(vit, make_photo())


def test_tokens_in_front_are_not_fewer_than_none() -> None:
    with pytest.raises(vitviz.VitvizError, match="num_prefix_tokens is -1"):
        vitviz.Tokens(lambda _: (4, 6), -1)
