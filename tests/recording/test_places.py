"""A map whose patches do not lie where they seem to is refused, not shown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import transformers
from families import make_photo
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms

import vitviz
from vitviz.recording.layers import sort_calls
from vitviz.recording.recorder import Recorder

SIDE, PATCH, WIDTH = 64, 8, 32
ROWS = SIDE // PATCH
SIZES = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": WIDTH,
    "patch_size": PATCH,
}


class Block(nn.Module):
    """Attention with a softmax of its own over `dim`, which is then scaled in place."""

    def __init__(self, dim: int, scale: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.dim, self.scale = dim, scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        weights = (self.query(x) @ self.key(x).mT).softmax(self.dim)
        if self.scale != 1.0:
            weights *= self.scale
        return weights @ self.value(x)


class Own(nn.Module):
    """A plain ViT that says nothing of its tokens, which `order` puts into a row."""

    def __init__(
        self,
        order: Callable[[Tensor], Tensor],
        extra: int = 0,
        dim: int = -1,
        scale: float = 1.0,
        read: slice = slice(None),
        patch: int = PATCH,
    ) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, WIDTH, patch, patch)
        self.extra = nn.Parameter(torch.randn(1, extra, WIDTH))
        self.blocks = nn.ModuleList(Block(dim, scale) for _ in range(2))
        self.cls_head = nn.Linear(WIDTH, 4)
        self.order, self.read = order, read

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.order(self.cut(pixels))
        x = torch.cat([self.extra, x], dim=1)
        for block in self.blocks:
            x = x + block(x)
        return self.cls_head(x[:, self.read].mean(dim=1))


def in_rows(x: Tensor) -> Tensor:
    return x.flatten(2).mT


def in_columns(x: Tensor) -> Tensor:
    return x.mT.flatten(2).mT


def upside_down(x: Tensor) -> Tensor:
    return x.flatten(2).mT.flip(1)


def then_a_token(x: Tensor) -> Tensor:
    return torch.cat([in_rows(x), torch.ones(1, 1, WIDTH)], dim=1)


def recorded(
    module: nn.Module, side: int = SIDE, tokens: vitviz.Tokens | None = None
) -> vitviz.Recording:
    transform = transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])
    vit = vitviz.from_module(module, transform=transform, tokens=tokens)
    return vitviz.record(vit, make_photo(size=(side, side)))


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(0)


def test_patches_in_rows_are_shown() -> None:
    rec = recorded(Own(in_rows))
    assert (rec.grid, rec.num_layers) == ((ROWS, ROWS), 2)


@pytest.mark.parametrize("order", [in_columns, upside_down, then_a_token])
def test_other_orders_are_refused(order: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(vitviz.ModelError, match="places are known"):
        recorded(Own(order))


def test_declared_tokens_are_not_believed_either() -> None:
    tokens = vitviz.Tokens(lambda _: (ROWS, ROWS), num_prefix_tokens=0, has_class_token=False)
    assert recorded(Own(in_rows), tokens=tokens).is_plain
    with pytest.raises(vitviz.ModelError, match="places are known"):
        recorded(Own(in_columns), tokens=tokens)


def test_more_tokens_that_happen_to_fill_a_finer_grid() -> None:
    rec = recorded(Own(in_rows, extra=(ROWS + 1) ** 2 - ROWS**2))  # 81 tokens are no 9 × 9
    assert (rec.grid, rec.num_prefix_tokens) == ((ROWS, ROWS), 17)


class Beforehand(nn.Module):
    """A model whose input is changed first."""

    def __init__(self, change: Callable[[Tensor], Tensor], inner: nn.Module) -> None:
        super().__init__()
        self.change, self.inner = change, inner

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(self.change(pixels))


def moved(by: int) -> Callable[[Tensor], Tensor]:
    return lambda x: F.pad(x, (by, 0, by, 0))[..., :224, :224]


def zoomed(by: int) -> Callable[[Tensor], Tensor]:
    """Cropped, or padded where that is below 0, and brought to its size again."""
    return lambda x: F.interpolate(F.pad(x, (-by,) * 4), (224, 224), mode="bilinear")


def wide(patch: int = 16, side: int = 224, **arguments: object) -> nn.Module:
    sizes = {"embed_dim": 48, "num_heads": 2, "depth": 2, "num_classes": 4}
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=side, patch_size=patch, **sizes, **arguments
    )


MOVES = {
    "moved by a quarter of a patch": moved(4),
    "moved by half a patch": moved(8),
    "the other way": lambda x: F.pad(x, (0, 6, 0, 6))[..., 6:, 6:],
    "moved along the rows alone": lambda x: x.roll(5, dims=-1),
    "cropped": zoomed(8),
    "cropped by a quarter of a patch": zoomed(4),
    "padded": zoomed(-8),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_shift_by_a_part_of_a_patch_is_refused(move: str) -> None:
    with pytest.raises(vitviz.ModelError, match="places are known"):
        recorded(Beforehand(MOVES[move], wide()), 224)


def test_one_of_two_models_that_is_shifted() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.towers = nn.ModuleList([Beforehand(moved(by), wide()) for by in (0, 6)])

        def forward(self, pixels: Tensor) -> Tensor:
            return self.towers[0](pixels) + self.towers[1](pixels)

    with pytest.raises(vitviz.ModelError, match="places are known"):
        recorded(Sum(), 224)


@pytest.mark.filterwarnings("ignore")  # of torch, about int8
def test_a_shift_in_half_precision_or_int8_is_refused_too() -> None:
    quantised = torch.ao.quantization.quantize_dynamic(wide(), {nn.Linear})
    tokens = vitviz.Tokens(lambda size: (size[0] // 16, size[1] // 16))
    for inner in (wide().bfloat16(), quantised):
        exact = Beforehand(lambda x: x, inner)
        assert recorded(exact, 224, tokens).grid == (14, 14)
        with pytest.raises(vitviz.ModelError, match="places are known"):
            recorded(Beforehand(moved(6), inner), 224, tokens)


EXACT = {
    "as it is": (lambda x: x, 16, 224),
    "moved by a pixel": (moved(1), 16, 224),
    "small patches": (lambda x: x, 2, 32),
    "few patches": (lambda x: x, 16, 32),
}


@pytest.mark.parametrize("kind", EXACT)
def test_exact_models_are_not_refused(kind: str) -> None:
    change, patch, side = EXACT[kind]
    rec = recorded(Beforehand(change, wide(patch, side)), side)
    assert (rec.is_plain, rec.grid) == (True, (side // patch, side // patch))


@pytest.mark.parametrize("hidden", [0.75, 0.0])  # 16 of 64 patches, or all in random order
def test_mae_shuffles_its_patches(hidden: float) -> None:
    config = transformers.ViTMAEConfig(image_size=SIDE, mask_ratio=hidden, **SIZES)
    with pytest.raises(vitviz.ModelError, match="places are known"):
        recorded(transformers.ViTMAEModel(config))


def test_yolos_asks_behind_its_patches() -> None:
    """1 + 100 + 20 tokens fill 11 × 11 patches, and there are 10 × 10."""
    config = transformers.YolosConfig(image_size=[80, 80], num_detection_tokens=20, **SIZES)
    with pytest.raises(vitviz.ModelError, match="places are known"):
        recorded(transformers.YolosModel(config), 80)


def test_a_classifier_called_cls_is_no_class_token() -> None:
    rec = recorded(Own(in_rows, extra=1))
    assert (rec.num_prefix_tokens, rec.has_class_token) == (1, False)
    mean = rec.attention(0)[:, 1:].mean(dim=1)
    torch.testing.assert_close(rec.attention_row(0, "cls"), mean)


@pytest.mark.parametrize(
    ("read", "is_class_token"),
    [
        (slice(0, 1), True),
        (slice(0, 2), True),  # beside a distillation token
        (slice(1, 2), False),  # the second of them, which nothing here can ask for
        (slice(3, None), False),
        (slice(0, 4), False),  # with a patch
    ],
)
def test_a_class_token_is_known_by_what_is_read(read: slice, is_class_token: bool) -> None:
    module = Own(in_rows, extra=3, read=read)
    rec = recorded(module)
    assert (rec.num_prefix_tokens, rec.has_class_token) == (3, is_class_token)
    tokens = vitviz.Tokens(lambda _: (ROWS, ROWS), 3, is_class_token)
    told = recorded(module, tokens=tokens)
    for method in ("attention", "rollout", "relevance"):
        maps = [vitviz.explain(one, method).values for one in (rec, told)]
        np.testing.assert_array_equal(*maps)


@pytest.mark.parametrize("change", [{"dim": -2}, {"scale": 0.5}])
def test_rows_that_do_not_sum_to_1_are_no_attention(change: dict[str, float]) -> None:
    """A softmax over the queries, and one that is halved in place."""
    module = Own(in_rows, **change)
    with Recorder(module) as recorder, torch.no_grad():
        module(torch.randn(1, 3, SIDE, SIDE))
    assert recorder.calls == []
    assert [name for name, _ in recorder.altered] == ["blocks.0", "blocks.1"]


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_has_the_layouts_of_float32(precision: torch.dtype) -> None:
    """bfloat16 cannot tell 256 slots by their numbers."""
    module = timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=SIDE,
        embed_dim=24,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 4, 8),
        window_size=4,
    )
    full, half = recorded(module), recorded(module.to(precision))
    assert half.left_out == full.left_out == ()
    for one, other in zip(full.layouts, half.layouts, strict=True):
        assert torch.equal(one.queries, other.queries)
        assert torch.equal(one.keys, other.keys)
    for layer in range(full.num_layers):
        assert np.allclose(full.attention(layer), half.attention(layer), atol=0.02)


def test_beit_of_transformers_classifies_its_patches() -> None:
    """Its class token's last row has no say in any class, so that methods start from the mean."""
    config = transformers.BeitConfig(image_size=SIDE, use_mean_pooling=True, **SIZES)
    rec = recorded(transformers.BeitForImageClassification(config))
    weights = rec.score_weights("cls")
    assert weights[0] == 0.0
    torch.testing.assert_close(weights[1:], torch.full((ROWS**2,), 1 / ROWS**2))


def test_places_are_asked_once_for_a_size() -> None:
    tokens = vitviz.Tokens(lambda _: (ROWS, ROWS), num_prefix_tokens=0, has_class_token=False)
    rec = recorded(Own(in_rows), tokens=tokens)
    runs: list[int] = []
    rec.vit.module.register_forward_hook(lambda *_: runs.append(1))
    with Recorder(rec.vit.module) as recorder, torch.no_grad():
        rec.vit.module(rec.pixels[None])
    sort_calls(rec.vit, recorder, (SIDE, SIDE))
    assert len(runs) == 1


@pytest.mark.parametrize("method", ["rollout", "relevance"])
def test_the_callers_precision_does_not_matter(method: str) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        rec = recorded(Own(in_rows, extra=1))
        assert rec.is_plain
        assert vitviz.explain(rec, method).values.dtype == np.float32


@pytest.mark.parametrize("side", [65, 70, 79, 64])
def test_pixels_beyond_the_last_whole_patch_are_not_covered(side: int) -> None:
    """Four patches of 16 px see 64 px of each of these."""
    tokens = vitviz.Tokens(lambda size: (size[0] // 16, size[1] // 16), 0, has_class_token=False)
    rec = recorded(Own(in_rows, patch=16), side, tokens)
    assert (rec.grid, rec.patch_size) == ((4, 4), (16, 16))
    assert rec.box == pytest.approx((0, 0, 64, 64))


def test_truth_values_are_no_patch() -> None:
    rec = recorded(Own(in_rows))
    with pytest.raises(vitviz.VitvizError) as met:
        rec.attention_row(0, (True, False))
    assert met.value.id == "query_not_a_patch"
