"""Receptive fields in theory, by their formula, and by the gradient."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet50

import vitviz
from vitviz.inside.convolution import (
    effective_field,
    effective_width,
    filter_answers,
    looking_layers,
    receptive_fields,
)
from vitviz.zoo.catalogue import COUNTERPART


def chain(layers: int) -> vitviz.Vit:
    """3 × 3 convolutions whose weights are all 1, on one channel."""
    convolutions = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(layers)]
    for convolution in convolutions:
        nn.init.ones_(convolution.weight)
    module = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(21 * 21, 2))
    return vitviz.from_module(module, transform=lambda _: torch.zeros(1, 21, 21))


def test_receptive_fields_by_hand() -> None:
    layers = [("a", 3, 1), ("b", 3, 2), ("c", 3, 1)]
    assert receptive_fields(layers) == [("a", 3), ("b", 5), ("c", 9)]


def test_a_resnet_50_sees_427_pixels() -> None:
    layers = looking_layers(resnet50(weights=None))
    assert layers[:2] == [("conv1", 7, 2), ("maxpool", 3, 2)]
    assert len(layers) == 18
    assert receptive_fields(layers)[-1] == ("layer4.2.conv2", 427)


@pytest.mark.parametrize("number", [0, 1, 4, 7, 10])
def test_the_gradient_reaches_exactly_as_far_as_the_theory_says(number: int) -> None:
    cnn = vitviz.load_model(COUNTERPART)
    name, width = receptive_fields(looking_layers(cnn.module))[number]
    photo = vitviz.load_image(vitviz.samples()[0].path)
    field = effective_field(
        cnn,
        cnn.transform(photo),
        name,
        lambda maps: maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2],
    )
    reached = field.nonzero()
    assert (reached.amax(dim=0) - reached.amin(dim=0) + 1).tolist() == [width, width]
    assert effective_width(field, 0.9) < width or number == 0


def test_ones_stacked_give_the_number_of_ways() -> None:
    """Through two layers of ones there are (1, 2, 3, 2, 1) ways in each direction."""
    vit = chain(2)
    field = effective_field(vit, torch.zeros(1, 21, 21), "1", lambda maps: maps[0, :, 10, 10])
    ways = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0])
    assert torch.equal(field[8:13, 8:13], torch.outer(ways, ways))
    assert field.sum() == 81
    assert effective_width(field, 9 / 81) == 1
    # The largest are 9, four 6 and four 4: 49 of 81 in 3 × 3 pixels.
    assert effective_width(field, 49 / 81) == 3
    assert effective_width(field, 1.0) == 5
    assert all(p.grad is None for p in vit.module.parameters())


def test_pixels_that_count_alike_make_a_square() -> None:
    assert effective_width(torch.ones(10, 10), 0.25) == 5
    assert effective_width(torch.ones(10, 10), 1.0) == 10
    assert effective_width(torch.eye(10), 0.5) == pytest.approx(math.sqrt(5))


def test_a_vision_transformers_token_depends_on_all_pixels_after_its_first_block() -> None:
    torch.manual_seed(0)
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, num_classes=3
    )
    vit = vitviz.from_module(module.eval())
    pixels = torch.randn(3, 32, 32)
    field = effective_field(vit, pixels, "blocks.0", lambda tokens: tokens[0, 1 + 5])
    assert (field > 0).all()
    embedded = effective_field(vit, pixels, "patch_embed", lambda tokens: tokens[0, 5])
    assert embedded.nonzero().amin(dim=0).tolist() == [8, 8]
    assert embedded.nonzero().amax(dim=0).tolist() == [15, 15]


def test_the_filters_answers_are_sums_over_their_pixels() -> None:
    cnn = vitviz.load_model(COUNTERPART)
    torch.manual_seed(0)
    pixels = torch.randn(3, 260, 260)
    weights, answers = filter_answers(cnn, pixels)
    assert weights.shape == (32, 3, 3, 3)
    assert answers.shape == (32, 130, 130)
    expected = (weights[4] * pixels[:, 19:22, 39:42]).sum()
    assert float(answers[4, 10, 20]) == pytest.approx(float(expected), abs=1e-5)
