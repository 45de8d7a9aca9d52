"""With another default float type of torch's, recordings, maps and measures are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import timm
import torch
from families import make_photo, random_classifier
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.models import VisionTransformer

import vitviz
from vitviz.measures import faithfulness

ALL = [id for id in vitviz.METHODS if id != "pooling"]


@contextmanager
def float64() -> Iterator[None]:
    """What a script for numerical work may say at its beginning."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def plain() -> nn.Module:
    return random_classifier("vit", depth=2)


def pooled() -> nn.Module:
    return random_classifier("siglip", depth=2)


def windowed() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"img_size": 64, "window_size": 4, "embed_dim": 24}
    depths = {"depths": (1, 1), "num_heads": (2, 4), "num_classes": 5}
    return timm.create_model("swin_tiny_patch4_window7_224", **sizes, **depths)


def of_torchvision() -> nn.Module:
    """Asked where its tokens lie, which timm's need not be."""
    torch.manual_seed(0)
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64, "num_classes": 5}
    module = VisionTransformer(image_size=64, patch_size=16, **sizes)
    nn.init.normal_(module.heads.head.weight)
    return module


MODELS: dict[Callable[[], nn.Module], list[str]] = {
    plain: ALL,
    pooled: ["pooling", "relevance", "rollout"],
    windowed: ["attention", "occlusion", "random"],
    of_torchvision: ["rollout", "relevance", "gradient_rollout"],
}


def shown(module: nn.Module, methods: list[str], photo: Image.Image) -> dict[str, NDArray]:
    """The numbers of every method and measure."""
    steps = [transforms.Resize((64, 64)), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    own = None if hasattr(module, "pretrained_cfg") else transforms.Compose(steps)
    rec = vitviz.record(vitviz.from_module(module, transform=own), photo)
    maps = {method: vitviz.explain(rec, method) for method in methods}
    found = {method: heat.values for method, heat in maps.items()}
    heat = vitviz.explain(rec, "occlusion", window=8, stride=8)
    return found | {
        "deletion": faithfulness.deletion(rec, heat, steps=4).values,
        "insertion": faithfulness.insertion(rec, heat, steps=4).values,
        "perturbation": faithfulness.perturbation(rec, heat, positive=True),
        "saco": np.array(faithfulness.saco(rec, heat, groups=3)),
    }


@pytest.mark.parametrize("model", MODELS)
def test_the_numbers_are_the_same(model: Callable[[], nn.Module], photo: Image.Image) -> None:
    module, methods = model(), MODELS[model]
    wanted = shown(module, methods, photo)
    with float64():
        found = shown(module, methods, photo)
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        near = 1e-6 + 1e-5 * float(np.abs(values).max())  # probabilities are float32
        np.testing.assert_allclose(found[name], values, atol=near, err_msg=name)


def test_a_model_made_in_float64_is_refused_by_what_needs_float32() -> None:
    with float64():
        module = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=5)
        rec = vitviz.record(vitviz.from_module(module), make_photo())
        assert vitviz.explain(rec, "rollout").values.dtype == np.float32
        with pytest.raises(vitviz.MethodError, match=r"is not in float32.*module\.float\(\)"):
            vitviz.explain(rec, "relevance")


def test_a_fresh_classifier_is_of_the_models_type() -> None:
    vit = vitviz.from_module(plain())
    with float64():
        vit.anatomy.reset_classifier(3)
    assert {p.dtype for p in vit.module.parameters()} == {torch.float32}
