"""The logit lens on patches against the model's own norm and head, applied by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import random_classifier
from PIL import Image
from torch import nn

import vitviz
from vitviz.methods.lens import token_lens


@pytest.mark.parametrize("family", ["vit", "dinov2 registers", "average pooled"])
@pytest.mark.parametrize("layer", [0, -1])
def test_each_patch_is_what_the_classifier_reads(
    family: str, photo: Image.Image, layer: int
) -> None:
    vit = vitviz.from_module(random_classifier(family))
    rec = vitviz.record(vit, photo)
    module, found = vit.module, []
    hook = module.blocks[layer].register_forward_hook(lambda *a: found.append(a[-1]))
    with torch.no_grad():
        module(rec.pixels[None])
        hook.remove()
        read = module.head(module.fc_norm(module.norm(found[0][0]))).softmax(dim=-1)
    expected = read[rec.num_prefix_tokens :, 3].view(rec.grid)
    heat = vitviz.explain(rec, "lens", target=3, layer=layer)
    np.testing.assert_allclose(heat.values, expected, atol=1e-5)
    assert expected.std() > 1e-3


def test_after_the_last_layer_the_class_token_says_what_the_model_says(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(random_classifier("dinov2 registers")), photo)
    found: list[torch.Tensor] = []
    hook = rec.vit.module.blocks[-1].register_forward_hook(lambda *a: found.append(a[-1]))
    with torch.no_grad():
        rec.vit.module(rec.pixels[None])
    hook.remove()
    torch.testing.assert_close(token_lens(rec, found[0][0])[0], rec.logits, atol=1e-5, rtol=1e-4)


class Behind(nn.Module):
    """Another head behind the model's."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core, self.head = core, nn.Linear(5, 4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        read: torch.Tensor = self.head(self.core(pixels))
        return read


def test_a_model_whose_classifier_is_elsewhere_is_refused(photo: Image.Image) -> None:
    core = random_classifier("vit", depth=1)
    transform = vitviz.from_module(core).transform
    rec = vitviz.record(vitviz.from_module(Behind(core), transform=transform), photo)
    with pytest.raises(vitviz.MethodError, match=r"no final norm and head.*use relevance"):
        vitviz.explain(rec, "lens")
