"""Models of other libraries, and one's own, show the maps that they computed themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision_vits
import transformers
from families import make_photo
from open_clip.transformer import VisionTransformer as OpenClipTower
from PIL import Image
from timm.models import save_for_hf
from torch import Tensor, nn
from torchvision import models, transforms
from torchvision.models import VisionTransformer
from transformers_configs import small

import vitviz

SIDE = 64
TRANSFORM = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor()])


def shaken(module: nn.Module) -> nn.Module:
    """The module with larger random weights, so that its attention is far from uniform."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.25)
    return module.eval()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return make_photo(size=(80, 80))


class TestTorchvision:
    def test_maps_are_those_of_multi_head_attention(self, photo: Image.Image) -> None:
        module = shaken(VisionTransformer(SIDE, 16, 2, 3, 48, 96, num_classes=5))
        expected: list[Tensor] = []
        for block in module.encoder.layers:

            def ask(attention: nn.Module, args: tuple[Tensor, ...]) -> None:
                _, weights = F.multi_head_attention_forward(
                    *(x.transpose(0, 1) for x in args[:3]),
                    48,
                    3,
                    attention.in_proj_weight,
                    attention.in_proj_bias,
                    None,
                    None,
                    False,
                    0.0,
                    attention.out_proj.weight,
                    attention.out_proj.bias,
                    training=False,
                    average_attn_weights=False,
                )
                expected.append(weights[0])

            block.self_attention.register_forward_pre_hook(ask)
        with torch.no_grad():
            plain = module(TRANSFORM(photo)[None])[0]
        wanted, expected[:] = list(expected), []
        for block in module.encoder.layers:
            block.self_attention._forward_pre_hooks.clear()
        rec = vitviz.record(vitviz.from_module(module, transform=TRANSFORM), photo)
        assert torch.equal(rec.logits, plain)
        assert (rec.grid, rec.num_prefix_tokens, rec.has_class_token) == ((4, 4), 1, True)
        for layer in range(2):
            torch.testing.assert_close(rec.attention(layer), wanted[layer])

    def test_every_plain_method_but_those_of_timms_blocks(self, photo: Image.Image) -> None:
        module = shaken(VisionTransformer(SIDE, 16, 2, 3, 48, 96, num_classes=5))
        rec = vitviz.record(vitviz.from_module(module, transform=TRANSFORM), photo)
        for method in ("attention", "rollout", "gradient_rollout", "relevance", "gradcam"):
            assert vitviz.explain(rec, method).values.shape == (4, 4)
        assert rec.norms is not None


@pytest.mark.parametrize("path", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("config", "model", "prefix"),
    [
        ("ViTConfig", "ViTForImageClassification", 1),
        ("Dinov2Config", "Dinov2ForImageClassification", 1),
        ("Dinov2WithRegistersConfig", "Dinov2WithRegistersForImageClassification", 5),
        ("DeiTConfig", "DeiTForImageClassificationWithTeacher", 2),
        ("ViTConfig", "ViTModel", 1),
        ("CLIPVisionConfig", "CLIPVisionModel", 1),
    ],
)
def test_transformers(config: str, model: str, prefix: int, path: str, photo: Image.Image) -> None:
    # By name: transformers loads a class when it is first asked for, which takes seconds.
    make_config, make_model = getattr(transformers, config), getattr(transformers, model)
    settings = small(make_config, num_labels=5, attn_implementation=path)
    module = shaken(make_model(settings))
    eager = make_model(small(make_config, num_labels=5, attn_implementation="eager"))
    eager.load_state_dict(module.state_dict())
    with torch.no_grad():
        own = eager.eval()(TRANSFORM(photo)[None], output_attentions=True)
    rec = vitviz.record(vitviz.from_module(module, transform=TRANSFORM), photo)
    assert (rec.grid, rec.num_prefix_tokens, rec.has_class_token) == ((4, 4), prefix, True)
    for layer in range(2):
        torch.testing.assert_close(
            rec.attention(layer), own.attentions[layer][0], atol=1e-5, rtol=1e-4
        )
    if "logits" in own:
        torch.testing.assert_close(rec.logits, own.logits[0], atol=1e-4, rtol=1e-4)
        assert vitviz.explain(rec, "relevance").values.shape == (4, 4)
    else:
        assert rec.predictions == []
    assert rec.attention(1).std() > 0.01


def test_open_clips_image_tower(photo: Image.Image) -> None:
    tower = shaken(OpenClipTower(SIDE, 16, 48, 2, 3, 2.0, output_dim=32))
    wanted: list[Tensor] = []

    def ask(attention: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        given = [*args, *(kwargs[name] for name in ("query", "key", "value") if name in kwargs)]
        with torch.no_grad():
            _, weights = nn.MultiheadAttention.forward(
                attention, *given[:3], need_weights=True, average_attn_weights=False
            )
        wanted.append(weights[0])

    handles = [
        block.attn.register_forward_pre_hook(ask, with_kwargs=True)
        for block in tower.transformer.resblocks
    ]
    with torch.no_grad():
        tower(TRANSFORM(photo)[None])
    for handle in handles:
        handle.remove()
    rec = vitviz.record(vitviz.from_module(tower, transform=TRANSFORM), photo)
    assert (rec.grid, rec.num_prefix_tokens) == ((4, 4), 1)
    for layer in range(2):
        torch.testing.assert_close(rec.attention(layer), wanted[layer])


class Attention(nn.Module):
    """Two heads, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(24, 72)

    def heads(self, x: Tensor) -> list[Tensor]:
        return [part.unflatten(-1, (2, 12)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1)]

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.heads(x)
        attention = ((query @ key.transpose(-2, -1)) * 12**-0.5).softmax(dim=-1)
        return x + (attention @ value).transpose(1, 2).flatten(2)


class Own(nn.Module):
    """A ViT of one's own: further tokens behind the class token, read by a linear head."""

    def __init__(self, prefix: int) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 24, 16, 16)
        self.cls_and_registers = nn.Parameter(torch.randn(1, prefix, 24))
        self.layers = nn.Sequential(Attention(), Attention())
        self.head = nn.Linear(24, 4)

    def tokens(self, pixels: Tensor) -> Tensor:
        patches = self.cut(pixels).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_and_registers.expand(len(pixels), -1, -1), patches], dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.layers(self.tokens(pixels))[:, 0])


def test_a_model_of_ones_own_with_ten_lines(photo: Image.Image) -> None:
    vit = vitviz.from_module(
        shaken(Own(prefix=3)),
        labels=["a", "b", "c", "d"],
        transform=TRANSFORM,
        tokens=vitviz.Tokens(
            grid=lambda size: (size[0] // 16, size[1] // 16),
            num_prefix_tokens=3,
            has_class_token=True,
        ),
    )
    rec = vitviz.record(vit, photo)
    assert (rec.num_layers, rec.num_heads(0), rec.grid) == (2, 2, (4, 4))
    own: Own = vit.module
    query, key, _ = own.layers[0].heads(own.tokens(rec.pixels[None]))
    expected = torch.softmax(query @ key.mT / 12**0.5, dim=-1)[0]
    torch.testing.assert_close(rec.attention(0), expected)
    assert rec.predictions[0].label in "abcd"
    assert vitviz.explain(rec, "rollout").values.shape == (4, 4)


def test_a_model_of_ones_own_that_says_nothing_is_asked(photo: Image.Image) -> None:
    """Without an anatomy the layouts are found; where all are alike, it is a plain ViT."""
    module = shaken(Own(prefix=1))
    rec = vitviz.record(vitviz.from_module(module, transform=TRANSFORM), photo)
    assert [rec.kind(layer) for layer in range(rec.num_layers)] == ["global"] * 2
    assert (rec.is_plain, rec.num_prefix_tokens, rec.has_class_token) == (True, 1, True)
    for method in ("rollout", "relevance", "legrad"):
        assert vitviz.explain(rec, method).values.any()


class TestSavedCheckpoints:
    """A checkpoint of each library, from its file to its maps."""

    def check(self, vit: vitviz.Vit, photo: Image.Image, tokens: int) -> None:
        rec = vitviz.record(vit, photo)
        for layer in range(rec.num_layers):
            assert rec.attention(layer).shape == (3, tokens, tokens)
        for method in ("attention", "rollout", "relevance"):
            heat = vitviz.explain(rec, method)
            assert heat.values.shape == rec.grid
            assert vitviz.overlay(photo, heat).size == photo.size

    def test_timms(self, tmp_path: Path, photo: Image.Image) -> None:
        module = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=4, img_size=SIDE)
        arguments = {"depth": 2, "img_size": SIDE}
        save_for_hf(module, tmp_path / "mine", model_args=arguments, safe_serialization=True)
        self.check(vitviz.load_model(tmp_path / "mine"), photo, 17)

    def test_torchvisions(
        self, tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torchvision_vits.are_small(monkeypatch)
        module = models.vit_b_32(num_classes=4)
        torch.save(module.state_dict(), tmp_path / "mine.pth")
        vit = vitviz.load_model(tmp_path / "mine.pth", architecture="torchvision/vit_b_32")
        rec = vitviz.record(vit, photo)
        assert rec.attention(1).shape == (12, 50, 50)
        assert vitviz.explain(rec, "rollout").values.shape == (7, 7)

    def test_transformers(self, tmp_path: Path, photo: Image.Image) -> None:
        config = small(transformers.ViTConfig, num_labels=5)
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "mine")
        transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(
            tmp_path / "mine"
        )
        self.check(vitviz.load_model(tmp_path / "mine"), photo, 17)
