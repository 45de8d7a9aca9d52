"""Methods that multiply the maps of all layers are given only where layers follow each other."""

from __future__ import annotations

import pytest
import timm
import torch
from families import make_photo
from torch import Tensor, nn
from torchvision import transforms

import vitviz
from vitviz.recording.chain import is_chain

SIDE, DEPTH = 32, 3
TRANSFORM = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor()])
CHAIN_METHODS = [id for id, method in vitviz.METHODS.items() if method.plain_only]


def tower(name: str = "vit_tiny_patch16_224", depth: int = DEPTH) -> nn.Module:
    sizes = {"patch_size": 8, "embed_dim": 24, "num_heads": 2}
    return timm.create_model(name, img_size=SIDE, num_classes=3, depth=depth, **sizes).eval()


class Towers(nn.Module):
    """Two models whose numbers are added, one after the other or block by block."""

    def __init__(self, *towers: nn.Module, in_turns: bool = False) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.in_turns = in_turns

    def forward(self, pixels: Tensor) -> Tensor:
        if not self.in_turns:
            return torch.stack([one(pixels) for one in self.towers]).sum(dim=0)
        streams = [one._pos_embed(one.patch_embed(pixels)) for one in self.towers]
        for level in range(DEPTH):
            streams = [one.blocks[level](x) for one, x in zip(self.towers, streams, strict=True)]
        return streams[0][:, 0] + streams[1][:, 0]


class Cut(nn.Module):
    """A tower whose blocks no gradient goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tower()

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.inner._pos_embed(self.inner.patch_embed(pixels))
        for block in self.inner.blocks:
            x = block(x).detach().requires_grad_(torch.is_grad_enabled())
        return self.inner.forward_head(x)


def recorded(module: nn.Module) -> vitviz.Recording:
    return vitviz.record(vitviz.from_module(module, transform=TRANSFORM), make_photo())


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("in_turns", [False, True])
def test_two_models_side_by_side_are_no_chain(in_turns: bool) -> None:
    module = Towers(tower(), tower(), in_turns=in_turns)
    rec = recorded(module)
    assert (rec.num_layers, rec.is_plain, rec.left_out) == (2 * DEPTH, False, ())
    for method in CHAIN_METHODS:
        with pytest.raises(vitviz.MethodError) as met:
            vitviz.explain(rec, method)
        assert met.value.id == "no_chain"
    alone = recorded(module.towers[0]).attention(1)
    torch.testing.assert_close(rec.attention(2 if in_turns else 1), alone)
    assert vitviz.explain(rec, "attention", layer=1).values.shape == (4, 4)


def test_attention_side_by_side_in_one_block_of_timms() -> None:
    assert not recorded(tower("vit_small_patch16_18x2_224", 2)).is_plain


@pytest.mark.parametrize("make", [tower, lambda: Towers(tower()), Cut])
def test_layers_that_follow_each_other_are_a_chain(make: type[nn.Module]) -> None:
    rec = recorded(make())
    assert rec.is_plain
    assert is_chain(rec.vit.module, (SIDE, SIDE), [call.module for call in rec.layers])
    assert vitviz.explain(rec, "rollout").values.shape == (4, 4)


def test_it_is_asked_once_for_a_size() -> None:
    vit = vitviz.from_module(Towers(tower(), tower()), transform=TRANSFORM)
    vitviz.record(vit, make_photo())
    runs: list[int] = []
    vit.module.register_forward_hook(lambda *_: runs.append(1))
    assert not vitviz.record(vit, make_photo()).is_plain
    assert len(runs) == 1
