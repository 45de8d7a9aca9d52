"""Every layer in which patches look at patches is shown, or the model is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
import transformers
from families import make_photo
from torch import Tensor, nn
from torchvision import transforms
from transformers_configs import small

import vitviz

SIDE = 64
PATCHES = (SIDE // 16) ** 2


def transform(side: int = SIDE) -> transforms.Compose:
    return transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])


def recorded(module: nn.Module, side: int = SIDE) -> vitviz.Recording:
    vit = vitviz.from_module(module, transform=transform(side))
    return vitviz.record(vit, make_photo(size=(side, side)))


def small_vit(**arguments: object) -> nn.Module:
    """Three blocks over 16 patches, whose attention is far from uniform."""
    torch.manual_seed(0)
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=SIDE, depth=3, num_classes=5, **arguments
    )
    for block in module.blocks:
        nn.init.normal_(block.attn.qkv.weight, std=0.12)
    return module


class Wrapped(nn.Module):
    """A model of timm that nobody can see from outside."""

    def __init__(self, **arguments: object) -> None:
        super().__init__()
        self.inner = small_vit(**arguments)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(pixels)


class Prompted(nn.Module):
    """Visual prompt tuning: further tokens behind the class token, in each layer anew if deep; or
    tokens behind the patches, as a detector has them."""

    def __init__(self, prompts: int, deep: bool = False, behind: bool = False) -> None:
        super().__init__()
        self.inner = small_vit()
        self.prompts = nn.Parameter(torch.randn(3, 1, prompts, 192))
        self.deep, self.behind = deep, behind

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.inner._pos_embed(self.inner.patch_embed(pixels))
        head, patches = tokens[:, :1], tokens[:, 1:]
        for number, block in enumerate(self.inner.blocks):
            if number == 0 or self.deep:
                prompts = self.prompts[number]
                if self.behind:
                    tokens = torch.cat([head, patches, prompts], dim=1)
                else:
                    tokens = torch.cat([head, prompts, patches], dim=1)
            tokens = block(tokens)
            head, patches = tokens[:, :1], tokens[:, -PATCHES:]
        return self.inner.head(self.inner.norm(tokens)[:, 0])


class WithRegisters(nn.Module):
    """The names and the order of the original DINOv2: class token, registers, patches."""

    def __init__(self) -> None:
        super().__init__()
        inner = small_vit()
        self.patch_embed, self.blocks, self.norm = inner.patch_embed, inner.blocks, inner.norm
        self.cls_token = nn.Parameter(torch.randn(1, 1, 192))
        self.pos_embed = nn.Parameter(torch.randn(1, PATCHES + 1, 192))
        self.register_tokens = nn.Parameter(torch.randn(1, 4, 192))
        self.num_register_tokens = 4
        self.head = nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = torch.cat([self.cls_token, self.patch_embed(pixels)], dim=1) + self.pos_embed
        tokens = torch.cat([tokens[:, :1], self.register_tokens, tokens[:, 1:]], dim=1)
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def test_registers_inside_a_wrapper_are_counted() -> None:
    wrapped = Wrapped(reg_tokens=4)
    rec, known = recorded(wrapped), recorded(wrapped.inner)
    assert (rec.num_layers, rec.num_prefix_tokens, rec.grid) == (3, 5, (4, 4))
    assert rec.has_class_token
    assert rec.left_out == ()
    for layer in range(3):
        torch.testing.assert_close(rec.attention(layer), known.attention(layer))
    expected = vitviz.explain(known, "attention").values
    assert vitviz.explain(rec, "attention").values == pytest.approx(expected)


def test_the_original_dinov2_with_registers() -> None:
    rec = recorded(WithRegisters())
    assert (rec.num_layers, rec.num_prefix_tokens, rec.has_class_token) == (3, 5, True)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("prompts", [1, 8, 19, 50])  # 8 and 19 fill a finer grid, 5 × 5 and 6 × 6
def test_visual_prompts_are_counted(prompts: int, deep: bool) -> None:
    rec = recorded(Prompted(prompts, deep))
    assert (rec.num_layers, rec.num_prefix_tokens, rec.grid) == (3, 1 + prompts, (4, 4))
    assert rec.left_out == ()


@pytest.mark.parametrize("count", [1, 8, 19])
def test_tokens_behind_the_patches_are_refused(count: int) -> None:
    with pytest.raises(vitviz.ModelError, match=f"{count} of its tokens stand behind the patches"):
        recorded(Prompted(count, behind=True))


def test_detection_tokens_are_refused_with_the_reason() -> None:
    sizes = {"image_size": [SIDE, SIDE], "patch_size": 8, "num_detection_tokens": 9}
    with pytest.raises(vitviz.ModelError, match="9 of its tokens stand behind the patches"):
        recorded(transformers.YolosModel(small(transformers.YolosConfig, **sizes)))


def test_a_decoders_queries_are_no_places() -> None:
    """100 queries would fill 10 × 10; the encoder's 4 × 4 are those of the photo."""
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    config = transformers.DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=100,
    )
    rec = recorded(transformers.DetrModel(config), 128)
    assert (rec.grid, rec.num_layers) == ((4, 4), 2)
    assert all("encoder" in call.module for call in rec.layers)
    assert len(rec.left_out) == 4
    assert all("decoder" in name for name in rec.left_out)


class LastMixed(nn.Module):
    """The last of three layers mixes its heads, so that its map is none."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_vit()
        last = self.inner.blocks[2].attn
        last.fused_attn = False
        last.attn_drop = nn.Conv2d(3, 3, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(pixels)


class Bare(nn.Module):
    """Layers of attention with nothing beside it: pixels reach all but the first through it."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 32, 16, 16)
        self.layers = nn.ModuleList(nn.MultiheadAttention(32, 2, batch_first=True) for _ in "123")
        self.head = nn.Linear(32, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.cut(pixels).flatten(2).mT
        for layer in self.layers:
            x = layer(x, x, x)[0]
        return self.head(x.mean(dim=1))


def test_layers_that_cannot_be_asked_are_refused_too() -> None:
    with pytest.raises(vitviz.ModelError, match=r"In layers\.2, the photo reaches its tokens"):
        recorded(Bare())


def test_the_first_layers_alone_are_refused() -> None:
    with pytest.raises(vitviz.ModelError, match="the first alone would mislead") as met:
        recorded(LastMixed())
    assert met.value.values["layer"] == "inner.blocks.2.attn"


class TestTheSameNumbersInEachRun:
    @pytest.mark.parametrize("part", ["", "blocks.1", "blocks.2.attn.attn_drop"])
    def test_training_mode_is_refused(self, part: str) -> None:
        module = small_vit(attn_drop_rate=0.1)
        vit = vitviz.from_module(module, transform=transform())
        rec = vitviz.record(vit, make_photo())
        module.get_submodule(part).train()
        for ask in (
            lambda: vitviz.record(vit, make_photo()),
            lambda: vitviz.predict(vit, make_photo()),
            lambda: vitviz.explain(rec, "relevance"),
            lambda: vitviz.explain(rec, "occlusion"),
        ):
            with pytest.raises(vitviz.ModelError, match=r"call module\.eval\(\) first"):
                ask()
        assert module.get_submodule(part).training  # whoever trains it goes on

    def test_a_new_head_is_in_training_mode_and_does_no_harm(self) -> None:
        module = small_vit()
        vit = vitviz.from_module(module, transform=transform())
        module.head = nn.Sequential(nn.LayerNorm(192), nn.Linear(192, 7))
        assert len(vitviz.record(vit, make_photo()).predictions) == 7

    @staticmethod
    def primitive(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=0.1)

    @staticmethod
    def written_out(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.dropout((query @ key.mT / 8).softmax(dim=-1), 0.1) @ value

    @pytest.mark.parametrize("attend", [primitive, written_out])
    def test_dropout_that_eval_mode_does_not_end(self, attend: Callable[..., Tensor]) -> None:
        module = small_vit()
        attention = module.blocks[1].attn

        def forward(x: Tensor, **_: object) -> Tensor:
            heads = attention.qkv(x).unflatten(-1, (3, 3, 64)).permute(2, 0, 3, 1, 4)
            return attention.proj(attend(*heads).transpose(1, 2).flatten(2))

        attention.forward = forward
        with pytest.raises(vitviz.ModelError, match=r"at random in eval mode too, in blocks\.1"):
            recorded(module)


class TestFiniteNumbers:
    def test_a_weight_that_is_none_is_named(self) -> None:
        module = small_vit()
        with torch.no_grad():
            module.blocks[2].attn.qkv.bias[3] = torch.nan
        with pytest.raises(vitviz.ModelError, match=r"not finite, in blocks\.2\.attn\.qkv\.bias"):
            recorded(module)

    def test_float16_overflows(self) -> None:
        module = small_vit().half()
        with torch.no_grad():
            module.head.weight.normal_(std=10000)
        with pytest.raises(vitviz.ModelError, match="load it in float32"):
            recorded(module)
