"""What is wrapped around a Vision Transformer changes none of its maps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import timm
import torch
from families import make_photo, random_classifier
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms

import vitviz
from vitviz.inside.classifier import image_features
from vitviz.inside.features import patch_features
from vitviz.inside.positions import position_embedding
from vitviz.inside.tokens import patch_vectors
from vitviz.models.core import core_of
from vitviz.recording.recording import Recording

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
PIXELS = transforms.Compose([transforms.Resize((64, 96)), transforms.ToTensor()])
NORMED = transforms.Compose([*PIXELS.transforms, transforms.Normalize(MEAN, STD)])
METHODS = ("attention", "rollout", "gradient_rollout", "relevance", "legrad", "gradcam")


class Normalise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Backbone(nn.Module):
    """The usual class around a backbone, with preprocessing and an output of one's own."""

    def __init__(self, vit: nn.Module, returns: Callable[[Tensor], Any] = lambda x: x) -> None:
        super().__init__()
        self.normalise, self.backbone, self.returns = Normalise(), vit, returns

    def forward(self, x: Tensor) -> Any:
        return self.returns(self.backbone(self.normalise(x)))


class LoRA(nn.Module):
    """A linear layer with a low-rank change, as adapters put it in the place of the old one."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base
        self.lora_A = nn.Linear(base.in_features, 2, bias=False)
        self.lora_B = nn.Linear(2, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.lora_B(self.lora_A(x))


def with_lora(vit: nn.Module) -> nn.Module:
    """As peft nests it: model.base_model.model.blocks.0.attn.qkv.base_layer."""
    for block in vit.blocks:
        block.attn.qkv = LoRA(block.attn.qkv)
    outer, inner = nn.Module(), nn.Module()
    inner.model = vit
    outer.base_model = inner
    outer.forward = lambda x: vit((x - normalise.mean) / normalise.std)
    normalise = Normalise()
    return outer


class Fields(NamedTuple):
    features: Tensor
    logits: Tensor


@dataclass
class Record:
    logits: Tensor
    aux: Tensor | None = None


WRAPPINGS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "sequential": lambda vit: nn.Sequential(Normalise(), vit),
    "backbone": Backbone,
    "three layers deep": lambda vit: nn.Sequential(nn.Sequential(Backbone(vit))),
    "data parallel": lambda vit: nn.DataParallel(Backbone(vit)),
    "data parallel inside": lambda vit: Backbone(nn.DataParallel(vit)),
    "compiled": lambda vit: torch.compile(Backbone(vit)),
    "lora": with_lora,
    "dict": lambda vit: Backbone(vit, lambda x: {"logits": x, "features": x[:, :2]}),
    "unnamed dict": lambda vit: Backbone(vit, lambda x: {"mine": x}),
    "tuple": lambda vit: Backbone(vit, lambda x: (x, [x[:, None, None]])),
    "named tuple": lambda vit: Backbone(vit, lambda x: Fields(x[:, :2], x)),
    "dataclass": lambda vit: Backbone(vit, lambda x: Record(x)),
    "loss first": lambda vit: Backbone(vit, lambda x: (x.sum(), x)),
}


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return random_classifier("vit", depth=2)


@pytest.fixture(scope="module")
def bare(module: nn.Module) -> Recording:
    return vitviz.record(vitviz.from_module(module, transform=NORMED), make_photo())


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_maps_are_those_of_the_bare_model(
    wrapping: str, module: nn.Module, bare: Recording
) -> None:
    wrapped = WRAPPINGS[wrapping](copy.deepcopy(module))
    rec = vitviz.record(vitviz.from_module(wrapped, transform=PIXELS), make_photo())
    torch.testing.assert_close(rec.logits, bare.logits, atol=1e-4, rtol=1e-4)
    assert (rec.grid, rec.num_prefix_tokens, rec.has_class_token) == ((4, 6), 1, True)
    assert rec.is_plain
    assert rec.box == bare.box
    assert rec.norms is not None
    for method in METHODS:
        found, wanted = (vitviz.explain(r, method).values for r in (rec, bare))
        torch.testing.assert_close(
            torch.tensor(found), torch.tensor(wanted), atol=1e-5, rtol=1e-3, msg=method
        )


def test_a_head_of_ones_own_on_a_headless_backbone() -> None:
    """The backbone says that it has no classes; the head around it has."""
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=0, img_size=(64, 96))
    wrapped = nn.Sequential(vit, nn.Linear(192, 7)).eval()
    rec = vitviz.record(vitviz.from_module(wrapped, transform=NORMED), make_photo())
    assert len(rec.predictions) == 7
    assert vitviz.explain(rec, "legrad").values.any()
    alone = vitviz.record(vitviz.from_module(vit, transform=NORMED), make_photo())
    assert alone.predictions == []


class Resizing(nn.Module):
    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, x: Tensor) -> Tensor:
        return self.vit(F.interpolate(x, (64, 96), mode="bilinear"))


def test_an_input_that_is_resized_inside(module: nn.Module) -> None:
    twice = transforms.Compose([transforms.Resize((128, 192)), transforms.ToTensor()])
    vit = vitviz.from_module(Resizing(copy.deepcopy(module)), transform=twice)
    rec = vitviz.record(vit, make_photo())
    assert (rec.grid, rec.patch_size, rec.is_plain) == ((4, 6), (32, 32), True)
    assert rec.box == (0, 0, 160, 120)
    assert vitviz.explain(rec, "occlusion").values.any()


def test_patches_that_are_no_whole_pixels_are_refused(module: nn.Module) -> None:
    odd = transforms.Compose([transforms.Resize((70, 100)), transforms.ToTensor()])
    vit = vitviz.from_module(Resizing(copy.deepcopy(module)), transform=odd)
    with pytest.raises(vitviz.ModelError, match="resizes its input from 70 × 100 to 64 × 96 px"):
        vitviz.record(vit, make_photo())


def test_what_turns_the_input_is_refused(module: nn.Module) -> None:
    class Mirroring(Backbone):
        def forward(self, x: Tensor) -> Tensor:
            return self.backbone(x.flip(-1))

    vit = vitviz.from_module(Mirroring(copy.deepcopy(module)), transform=PIXELS)
    with pytest.raises(vitviz.ModelError):
        vitviz.record(vit, make_photo())


def test_grey_is_the_models_also_where_it_normalises_inside(module: nn.Module) -> None:
    """Hidden patches have the model's mean colour, not black."""
    bare = vitviz.record(vitviz.from_module(module, transform=NORMED), make_photo())
    vit = vitviz.from_module(Backbone(copy.deepcopy(module)), transform=PIXELS)
    rec = vitviz.record(vit, make_photo())
    found, wanted = (vitviz.explain(r, "occlusion").values for r in (rec, bare))
    assert wanted.any()
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), atol=1e-5, rtol=1e-3)


def test_what_is_inside_is_that_of_the_bare_model(module: nn.Module, bare: Recording) -> None:
    """Positions, patch vectors and features are asked of the part that has them, about what the
    wrapper gives it."""
    wrapped = nn.Sequential(Normalise(), copy.deepcopy(module))
    rec = vitviz.record(vitviz.from_module(wrapped, transform=PIXELS), make_photo())
    for ask in (patch_features, patch_vectors, position_embedding, image_features):
        torch.testing.assert_close(ask(rec), ask(bare), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("swin_tiny_patch4_window7_224", {"window_size": 4, "depths": (1, 1, 1, 1)}),
        ("hiera_tiny_224", {}),
    ],
)
def test_families_of_other_layouts_too(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    inner = timm.create_model(name, num_classes=5, img_size=(64, 64), **arguments)
    square = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
    normed = transforms.Compose([*square.transforms, transforms.Normalize(MEAN, STD)])
    bare = vitviz.record(vitviz.from_module(inner, transform=normed), make_photo())
    wrapped = nn.Sequential(Normalise(), inner)
    rec = vitviz.record(vitviz.from_module(wrapped, transform=square), make_photo())
    assert [rec.kind(n) for n in range(rec.num_layers)] == [
        bare.kind(n) for n in range(bare.num_layers)
    ]
    assert rec.left_out == tuple(f"1.{name}" for name in bare.left_out)
    for layer in range(rec.num_layers):
        torch.testing.assert_close(
            rec.attention_row(layer, (5, 6)),
            bare.attention_row(layer, (5, 6)),
            atol=1e-4,
            rtol=1e-3,
        )


class WithNames(nn.Module):
    """Called with names only, and with a loss that nobody asks for."""

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> dict[str, Any]:
        return {"loss": labels, "logits": self.vit(x=pixel_values)}


def test_arguments_with_names(module: nn.Module, bare: Recording) -> None:
    vit = vitviz.from_module(WithNames(copy.deepcopy(module)), transform=NORMED)
    rec = vitviz.record(vit, make_photo())
    torch.testing.assert_close(rec.logits, bare.logits)
    assert vitviz.explain(rec, "legrad").values.any()


class Cut(nn.Module):
    """Patches as the first authors' code cuts them; it says nothing of its tokens."""

    def __init__(self, proj: nn.Conv2d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Dino(nn.Module):
    """A ViT as DINO's authors wrote it."""

    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.patch_embed, self.cls_token = Cut(vit.patch_embed.proj), vit.cls_token
        self.pos_embed, self.blocks = vit.pos_embed, nn.ModuleList(vit.blocks)
        self.norm, self.head = vit.norm, vit.head

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


@pytest.mark.parametrize(
    "wrap", [lambda vit: vit, lambda vit: Backbone(vit)], ids=["bare", "wrapped"]
)
def test_a_vit_that_says_nothing_is_plain(
    wrap: Callable[[nn.Module], nn.Module], module: nn.Module, bare: Recording
) -> None:
    dino = wrap(Dino(copy.deepcopy(module)))
    transform = PIXELS if isinstance(dino, Backbone) else NORMED
    rec = vitviz.record(vitviz.from_module(dino, transform=transform), make_photo())
    assert rec.is_plain
    assert rec.norms is not None
    for method in METHODS:
        found, wanted = (vitviz.explain(r, method).values for r in (rec, bare))
        torch.testing.assert_close(
            torch.tensor(found), torch.tensor(wanted), atol=1e-5, rtol=1e-3, msg=method
        )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vit_tiny_patch16_224", {"img_size": 64, "depth": 3}),
        ("convnext_atto", {}),
        ("efficientnet_lite0", {}),
    ],
)
def test_timms_models_of_features_are_refused(name: str, arguments: dict[str, Any]) -> None:
    module = timm.create_model(name, features_only=True, **arguments)
    with pytest.raises(vitviz.ModelError, match="made with features_only=True"):
        vitviz.from_module(module)


def test_but_not_a_head_on_them(photo: Image.Image) -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            arguments = {"img_size": 64, "depth": 3, "features_only": True}
            self.backbone = timm.create_model("vit_tiny_patch16_224", **arguments)
            self.head = nn.Linear(192, 3)

        def forward(self, pixels: Tensor) -> Tensor:
            return self.head(self.backbone(pixels)[-1].mean(dim=(2, 3)))

    square = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
    rec = vitviz.record(vitviz.from_module(Mine(), transform=square), photo)
    assert (rec.num_layers, rec.grid, len(rec.predictions)) == (3, (4, 4), 3)


@pytest.mark.filterwarnings("ignore")  # torch announces where its quantisation moves
class TestInt8:
    @pytest.fixture
    def rec(self, module: nn.Module) -> Recording:
        quantised = torch.ao.quantization.quantize_dynamic(module, {nn.Linear})
        return vitviz.record(vitviz.from_module(quantised, transform=NORMED), make_photo())

    def test_maps_are_nearly_those_of_the_floats(self, rec: Recording, bare: Recording) -> None:
        found, wanted = (r.attention(0).flatten() for r in (rec, bare))
        assert torch.corrcoef(torch.stack([found, wanted]))[0, 1] > 0.98
        assert vitviz.explain(rec, "rollout").values.any()

    @pytest.mark.parametrize("method", ["relevance", "gradient_rollout", "transition", "gradcam"])
    def test_what_needs_gradients_says_so(self, method: str, rec: Recording) -> None:
        with pytest.raises(vitviz.MethodError, match="no gradients"):
            vitviz.explain(rec, method)


def test_the_core_of_two_towers_is_not_guessed() -> None:
    towers = nn.ModuleList([random_classifier("vit", depth=1) for _ in range(2)])
    assert core_of(towers) == ""
    assert core_of(nn.Sequential(Normalise(), towers[0])) == "1"
