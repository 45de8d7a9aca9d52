"""The heads' shares against what the attention layer puts out."""

from __future__ import annotations

import pytest
import timm
import torch

import vitviz
from vitviz.errors import MethodError
from vitviz.inside.head_outputs import head_outputs

PHOTO = vitviz.samples()[0].path


def recorded(name: str, **options: object) -> vitviz.Recording:
    torch.manual_seed(0)
    module = timm.create_model(name, depth=2, num_classes=3, **options).eval()
    return vitviz.record(vitviz.from_module(module), vitviz.load_image(PHOTO))


@pytest.mark.parametrize("query", ["cls", (1, 2)])
@pytest.mark.parametrize("layer", [0, 1])
def test_they_add_up_to_what_the_layer_puts_out(layer: int, query: vitviz.Query) -> None:
    rec = recorded("vit_tiny_patch16_224", img_size=64)
    attention = rec.vit.module.blocks[layer].attn
    with torch.no_grad():
        attention.proj.bias.normal_()
    rec = vitviz.record(rec.vit, vitviz.load_image(PHOTO))
    out: list[torch.Tensor] = []
    hook = attention.register_forward_hook(lambda *called: out.append(called[-1]))
    with torch.no_grad():
        rec.vit.module(rec.pixels[None])
    hook.remove()
    token = 0 if query == "cls" else rec.num_prefix_tokens + query[0] * rec.grid[1] + query[1]
    found = head_outputs(rec, layer, query)
    assert found.parts.shape == (3, 192)
    torch.testing.assert_close(found.total, out[0][0, token], atol=1e-5, rtol=1e-4)


def test_a_norm_between_heads_and_projection_is_refused() -> None:
    rec = recorded("eva02_small_patch14_224", img_size=56, scale_attn_inner=True)
    with pytest.raises(MethodError, match="one linear projection"):
        head_outputs(rec, 0)


@pytest.mark.parametrize("between", ["gate", "norm"])
def test_methods_and_insides_ask_the_same(between: str) -> None:
    """A gate after the heads makes their parts add up to something else, as a norm does."""
    rec = recorded("vit_tiny_patch16_224", img_size=64)
    attention = rec.vit.module.blocks[0].attn
    new = torch.nn.Linear(192, 192) if between == "gate" else torch.nn.LayerNorm(192)
    setattr(attention, between, new)
    rec = vitviz.record(rec.vit, vitviz.load_image(PHOTO))
    with pytest.raises(MethodError, match="one linear projection"):
        head_outputs(rec, 0)
    with pytest.raises(MethodError, match="one linear projection"):
        vitviz.explain(rec, "value_rollout")
