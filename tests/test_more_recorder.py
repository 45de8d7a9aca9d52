"""To append to tests/test_recorder.py."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import timm
import torch
from families import make_photo, random_module, set_fused
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import vitviz


@pytest.mark.parametrize("fused", [True, False])
def test_the_pooling_heads_map_at_values_is_what_it_computed(
    photo: Image.Image, fused: bool
) -> None:
    module = random_module("siglip")
    set_fused(module, fused)
    seen: list[Tensor] = []
    module.attn_pool.proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    rec = vitviz.record(vitviz.from_module(module), photo)
    assert rec.pool is not None
    ours = rec.pool.rows(slice(None))[0] @ rec.pool.value[0]
    torch.testing.assert_close(ours.transpose(0, 1).flatten(1), seen[0][0], atol=1e-4, rtol=1e-4)


def test_a_thread_that_does_not_record_is_left_alone() -> None:
    """It runs the hooked module meanwhile: its logits and the recordings stay the same."""
    vit = vitviz.from_module(random_module("vit"))
    photos = [make_photo(seed) for seed in range(4)]
    expected = [vitviz.record(vit, photo) for photo in photos]
    pixels = vit.transform(make_photo(9))[None]
    with torch.no_grad():
        plain = vit.module(pixels)
    done = threading.Event()
    different: list[int] = []
    runs = 0

    def unrecorded() -> None:
        nonlocal runs
        with torch.no_grad():
            while not done.is_set() or runs < 20:
                different.extend([runs] * (not torch.equal(vit.module(pixels), plain)))
                runs += 1

    bystander = threading.Thread(target=unrecorded)
    bystander.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                for one, other in zip(
                    expected, pool.map(lambda p: vitviz.record(vit, p), photos), strict=True
                ):
                    assert torch.equal(one.logits, other.logits)
                    assert [c.module for c in one.layers] == [c.module for c in other.layers]
                    assert torch.equal(one.attention(1), other.attention(1))
    finally:
        done.set()
        bystander.join()
    assert runs >= 20
    assert different == []


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # gates its maps after the softmax in all but its last layers: no map of those is known
        ("convit_tiny", {"img_size": 64, "depth": 4, "local_up_to_layer": 2}),
        # subtracts one map from another: two calls a layer
        ("vit_dlittle_patch16_reg1_gap_256", {"img_size": 64, "depth": 2}),
    ],
)
def test_a_model_that_changes_its_maps_is_refused(
    name: str, arguments: dict[str, object], photo: Image.Image, fused: bool
) -> None:
    module = timm.create_model(name, **arguments)
    set_fused(module, fused)
    with pytest.raises(vitviz.ModelError, match="not one map over all tokens in each layer"):
        vitviz.record(vitviz.from_module(module), photo)


class Reweighted(nn.Module):
    """A ViT whose class probabilities are mixed by a matrix: a softmax that is no attention."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = random_module("vit")
        self.patch_embed, self.num_prefix_tokens = self.vit.patch_embed, 1

    def forward(self, x: Tensor) -> Tensor:
        return self.vit(x).softmax(-1) @ torch.eye(1000)


def test_another_softmax_is_no_attention_and_no_crash(photo: Image.Image) -> None:
    steps = [transforms.Resize((64, 96)), transforms.ToTensor()]
    vit = vitviz.from_module(Reweighted(), transform=transforms.Compose(steps))
    try:
        rec = vitviz.record(vit, photo)
    except vitviz.ModelError:
        return
    assert rec.num_layers == 3
