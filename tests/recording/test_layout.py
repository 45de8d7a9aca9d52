"""Maps of models whose layers differ lie where an independent look at the model says."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from families import make_photo
from PIL import Image
from timm.models.mvitv2 import MultiScaleVit, MultiScaleVitCfg
from timm.models.pvt_v2 import Attention as PooledAttention
from timm.models.swin_transformer import window_partition
from torch import Tensor, nn
from torchvision import transforms

import vitviz
from vitviz.methods.attention import all_head_maps
from vitviz.recording.find import find_layouts
from vitviz.recording.layout import Layout, grid_of
from vitviz.recording.record import record_pixels

SIDE = 96


def sharpened(name: str, **arguments: object) -> nn.Module:
    """A random model whose attention is far from uniform."""
    torch.manual_seed(0)
    module = timm.create_model(name, **arguments).eval()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if any(part in key for part in ("qkv.weight", "kv.weight", "q.weight", "k.weight")):
                parameter.normal_(std=0.3)
    return module


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return make_photo(size=(120, 120))


@pytest.fixture(scope="module")
def swin(photo: Image.Image) -> vitviz.Recording:
    module = sharpened(
        "swin_tiny_patch4_window7_224",
        img_size=SIDE,
        window_size=4,
        depths=(2, 2, 2, 2),
        embed_dim=32,
        num_heads=(1, 2, 4, 8),
    )
    return vitviz.record(vitviz.from_module(module), photo)


def windows_by_timm(rec: vitviz.Recording, block: str) -> Tensor:
    """For each window the raster numbers of its tokens, as timm's own shift and cut put them."""
    swin: nn.Module = rec.vit.module.get_submodule(block)
    rows, cols = swin.input_resolution
    shift = swin.shift_size
    numbers = torch.arange(rows * cols, dtype=torch.float32).view(1, rows, cols, 1)
    numbers = torch.roll(numbers, (-shift[0], -shift[1]), (1, 2))
    return window_partition(numbers, swin.window_size).flatten(1).long()  # (windows, tokens)


class TestWindows:
    @pytest.mark.parametrize(
        ("layer", "block"),
        [(0, "layers.0.blocks.0"), (1, "layers.0.blocks.1"), (3, "layers.1.blocks.1")],
    )
    def test_a_window_lies_where_timm_cut_it(
        self, swin: vitviz.Recording, layer: int, block: str
    ) -> None:
        places = windows_by_timm(swin, block)
        maps = swin.layers[layer].rows(slice(None))  # (windows, heads, tokens, tokens)
        rows, cols = swin.layer_grid(layer)
        expected = torch.zeros(maps.shape[1], rows * cols, rows * cols)
        for window, tokens in enumerate(places):
            expected[:, tokens[:, None], tokens] = maps[window]
        torch.testing.assert_close(swin.attention(layer), expected)
        assert swin.kind(layer) == "windowed"

    def test_a_shifted_window_hides_what_wrapped_around(self, swin: vitviz.Recording) -> None:
        """In a shifted layer the window in the corner joins four parts that must not mix."""
        corner = swin.patches(swin.attention_row(1, (0, 0)), 1)[0]
        assert corner[:2, :2].sum() == pytest.approx(1, abs=1e-5)

    def test_a_row_is_the_row_of_the_map(self, swin: vitviz.Recording) -> None:
        for layer in range(swin.num_layers):
            rows, cols = swin.layer_grid(layer)
            query = (13, 22)
            row, col = query[0] * rows // 24, query[1] * cols // 24
            expected = swin.attention(layer)[:, row * cols + col]
            torch.testing.assert_close(swin.attention_row(layer, query), expected)

    def test_cls_is_the_mean_of_all_patches(self, swin: vitviz.Recording) -> None:
        torch.testing.assert_close(swin.attention_row(2), swin.attention(2).mean(dim=1))

    def test_maps_have_the_layers_own_grid(self, swin: vitviz.Recording) -> None:
        assert swin.grid == (24, 24)
        shapes = [vitviz.explain(swin, "attention", layer=i).values.shape for i in range(8)]
        assert shapes == [(24, 24)] * 2 + [(12, 12)] * 2 + [(6, 6)] * 2 + [(3, 3)] * 2

    def test_methods_that_need_one_map_a_layer_say_so(self, swin: vitviz.Recording) -> None:
        for method in ("relevance", "legrad", "gradient_rollout", "transition", "lens"):
            with pytest.raises(vitviz.MethodError, match="use attention, which shows each layer"):
                vitviz.explain(swin, method)
        heat = vitviz.explain(swin, "occlusion", window=8, stride=8)
        assert heat.values.shape == swin.grid

    def test_a_head_that_only_later_layers_have(self, swin: vitviz.Recording) -> None:
        assert vitviz.explain(swin, "attention", layer=7, head=7).values.shape == (3, 3)
        with pytest.raises(vitviz.MethodError, match="heads are 0 to 0"):
            vitviz.explain(swin, "attention", layer=0, head=7)


def test_another_visitors_size_is_placed_anew(photo: Image.Image) -> None:
    module = sharpened("pvt_v2_b0")
    vit = vitviz.from_module(module)
    rec = vitviz.record(vit, photo)
    smaller = record_pixels(vit, rec.pixels[:, :128, :192], rec.box)
    assert (rec.grid, smaller.grid) == ((56, 56), (32, 48))


def test_pooled_keys_are_shared_out_among_their_tokens(photo: Image.Image) -> None:
    """In the first stage of PVT v2 a key is made from 8 × 8 tokens."""
    rec = vitviz.record(vitviz.from_module(sharpened("pvt_v2_b0")), photo)
    attention = rec.vit.module.get_submodule(rec.layers[0].module)
    assert isinstance(attention, PooledAttention)
    assert rec.kind(0) == "pooled keys"
    row = rec.patches(rec.attention_row(0, (10, 20)), 0)
    own = rec.layers[0].rows(slice(10 * 56 + 20, 10 * 56 + 21))[0, :, 0].view(-1, 7, 7)
    expected = own.repeat_interleave(8, 1).repeat_interleave(8, 2) / 64
    torch.testing.assert_close(row, expected)
    assert float(row.sum()) == pytest.approx(1, abs=1e-5)


def test_hieras_windows_are_squares_of_the_photo(photo: Image.Image) -> None:
    """Hiera keeps a window's tokens together; on the photo they are a square of 8 × 8."""
    module = sharpened("hiera_tiny_224", img_size=(128, 128))
    transform = transforms.Compose([transforms.Resize((128, 128)), transforms.ToTensor()])
    rec = vitviz.record(vitviz.from_module(module, transform=transform), photo)
    looked = rec.patches(rec.attention_row(0, (10, 20)), 0).sum(dim=0) > 0
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[8:16, 16:24] = True
    assert torch.equal(looked, expected)


class TestClassAttention:
    @pytest.fixture(scope="class")
    @classmethod
    def cait(cls) -> vitviz.Recording:
        module = sharpened("cait_xxs24_224", depth=2, img_size=64)
        return vitviz.record(vitviz.from_module(module), make_photo())

    def test_the_class_token_alone_looks(self, cait: vitviz.Recording) -> None:
        assert [cait.kind(layer) for layer in range(cait.num_layers)] == ["class attention"] * 2
        row = cait.attention_row(1, "cls")
        torch.testing.assert_close(row, cait.layers[1].rows(slice(None))[0, :, 0])
        torch.testing.assert_close(row.sum(-1), torch.ones(4))
        with pytest.raises(vitviz.MethodError, match="choose “cls” or another layer"):
            cait.attention_row(1, (0, 0))

    def test_mixed_heads_are_left_out_and_named(self, cait: vitviz.Recording) -> None:
        assert cait.left_out == ("blocks.0.attn", "blocks.1.attn")
        assert not cait.is_plain


def test_gated_positional_attention_is_what_meets_the_values(photo: Image.Image) -> None:
    """ConViT's own method for its maps is the second implementation."""
    module = sharpened("convit_tiny", img_size=64, depth=3, local_up_to_layer=2)
    rec = vitviz.record(vitviz.from_module(module), photo)
    assert rec.num_layers == 3
    x = module.pos_drop(module.patch_embed(rec.pixels[None]) + module.pos_embed)
    for layer in range(2):
        expected = module.blocks[layer].attn.get_attention(module.blocks[layer].norm1(x))[0]
        x = module.blocks[layer](x)
        torch.testing.assert_close(rec.attention(layer), expected)
        assert rec.kind(layer) == "global"


def test_channels_look_at_channels(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(sharpened("xcit_nano_12_p16_224", depth=2)), photo)
    assert [rec.kind(layer) for layer in range(rec.num_layers)] == ["channel"] * 2 + [
        "class attention"
    ] * 2
    matrix = rec.attention(0)
    assert matrix.shape == (4, 32, 32)
    torch.testing.assert_close(matrix.sum(-1), torch.ones(4, 32))
    with pytest.raises(vitviz.MethodError, match="channels look at channels"):
        rec.attention_row(0, (0, 0))
    maps = all_head_maps(rec, "cls")
    assert [len(of_layer) for of_layer in maps.values()] == [0, 0, 5, 5]


def test_crossvits_branches_have_grids_of_their_own(photo: Image.Image) -> None:
    rec = vitviz.record(vitviz.from_module(sharpened("crossvit_tiny_240")), photo)
    grids = {rec.layer_grid(layer) for layer in range(rec.num_layers)}
    assert grids == {(20, 20), (14, 14)}
    assert rec.grid == (20, 20)


def test_pooling_is_the_heads_own_row(photo: Image.Image) -> None:
    module = sharpened("vit_base_patch16_siglip_224", depth=1, embed_dim=96, num_heads=3)
    rec = vitviz.record(vitviz.from_module(module), photo)
    assert rec.pool is not None
    heads = rec.pool.rows(slice(None))[0, :, 0].view(3, 14, 14)
    found = vitviz.explain(rec, "pooling", head=1).values
    np.testing.assert_allclose(found, heads[1].numpy())
    mean = vitviz.explain(rec, "pooling").values
    np.testing.assert_allclose(mean, heads.mean(0).numpy(), rtol=1e-5)
    plain = vitviz.record(
        vitviz.from_module(timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64)), photo
    )
    with pytest.raises(vitviz.MethodError, match="no attention-pooling head"):
        vitviz.explain(plain, "pooling")


@pytest.mark.parametrize(
    ("tokens", "prefixes", "size", "expected"),
    [
        (197, [1, 0], (224, 224), (1, (14, 14))),
        (196, [1, 0], (224, 224), (0, (14, 14))),
        (731, [0, 1, 2], (224, 224), (2, (27, 27))),
        (24, [0], (64, 96), (0, (4, 6))),
        (25, [0], (64, 96), None),
        (1, [0], (64, 64), None),
    ],
)
def test_grids(
    tokens: int,
    prefixes: list[int],
    size: tuple[int, int],
    expected: tuple[int, tuple[int, int]] | None,
) -> None:
    assert grid_of(tokens, prefixes, size) == expected


@pytest.mark.parametrize("seed", range(3))
def test_a_norm_behind_a_strided_convolution_does_not_hide_its_keys(seed: int) -> None:
    """What it gives has a constant sum, whose gradient is rounding."""
    torch.manual_seed(seed)
    module = MultiScaleVit(MultiScaleVitCfg(depths=(1, 1, 1, 1), embed_dim=24), img_size=SIDE)
    found = find_layouts(module.eval(), (SIDE, SIDE), [0])
    assert [layout.grid for layout in found if isinstance(layout, Layout)] == [
        (24, 24),
        (24, 24),
        (12, 12),
        (6, 6),
    ]
