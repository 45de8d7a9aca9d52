"""A model whose attention is not shown is told why, each cause in a sentence of its own."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from families import make_photo
from torch import Tensor, nn
from torchvision.transforms import Compose, Resize, ToTensor

import vitviz

TRANSFORM = Compose([Resize((32, 32)), ToTensor()])
TOKENS = vitviz.Tokens(lambda size: (size[0] // 8, size[1] // 8), 1, True)


class Attention(nn.Module):
    """Three heads over tokens of 48 numbers, multiplied in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.qkv, self.proj = nn.Linear(48, 144), nn.Linear(48, 48)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 3, 16)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) / 4
        if self.way == "einsum":
            out = torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)
        elif self.way == "einsum of a list":
            out = torch.einsum("bhij,bhjd->bhid", [scores.softmax(-1), v])
        elif self.way == "sigmoid":
            out = scores.sigmoid() @ v
        elif self.way == "own softmax":
            weights = torch.exp(scores - scores.amax(-1, keepdim=True))
            out = weights / weights.sum(-1, keepdim=True) @ v
        elif self.way == "own softmax and einsum":
            weights = torch.exp(scores)
            out = torch.einsum("bhij,bhjd->bhid", weights / weights.sum(-1, keepdim=True), v)
        else:
            out = F.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).flatten(2))


class OwnVit(nn.Module):
    def __init__(self, way: str = "fused", blocks: list[nn.Module] | None = None) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 48, 8, 8)
        self.first = nn.Parameter(torch.randn(1, 1, 48))
        self.positions = nn.Parameter(torch.randn(1, 17, 48))
        self.blocks = nn.ModuleList(blocks or [Attention(way) for _ in range(2)])
        self.head = nn.Linear(48, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = x + block(x)
        return self.head(x[:, 0])


def twice() -> nn.Module:
    one = Attention("fused")
    return OwnVit(blocks=[one, one])


def traced() -> nn.Module:
    return torch.jit.trace(OwnVit().eval(), torch.zeros(1, 3, 32, 32), check_trace=False)


class Around(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(pixels)


CAUSES = {
    "einsum": (lambda: OwnVit("einsum"), "own_einsum"),
    "einsum of a list": (lambda: OwnVit("einsum of a list"), "own_einsum"),
    "own softmax and einsum": (lambda: OwnVit("own softmax and einsum"), "own_einsum"),
    "own softmax": (lambda: OwnVit("own softmax"), "own_softmax"),
    "a sigmoid": (lambda: OwnVit("sigmoid"), "sigmoid_attention"),
    "TorchScript": (traced, "torchscript"),
    "TorchScript inside": (lambda: Around(traced()), "torchscript"),
    "a module used twice": (twice, "module_used_twice"),
    "a convolutional network": (
        lambda: timm.create_model("resnet10t", num_classes=3),
        "no_attention",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kind", CAUSES)
def test_each_cause_has_its_sentence(kind: str) -> None:
    make, id = CAUSES[kind]
    torch.manual_seed(0)
    tokens = None if id == "no_attention" else TOKENS
    vit = vitviz.from_module(make(), transform=TRANSFORM, tokens=tokens, name="mine")
    with pytest.raises(vitviz.ModelError, match="mine") as met:
        vitviz.record(vit, make_photo())
    assert met.value.id == id


def test_the_same_model_with_watched_attention_is_shown() -> None:
    vit = vitviz.from_module(OwnVit(), transform=TRANSFORM, tokens=TOKENS)
    assert vitviz.record(vit, make_photo()).num_layers == 2
