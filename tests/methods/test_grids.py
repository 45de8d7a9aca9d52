"""Rollout and Grad-CAM of models with windows and grids of their own, against whole matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from families import make_photo
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

import vitviz
from vitviz.recording.recording import Recording

SIDE = 64


def tiny_swin(**arguments: Any) -> SwinTransformer:
    """Grids of 16 × 16 and 8 × 8, windows of 2 × 2, each second layer's shifted."""
    torch.manual_seed(0)
    sizes = {"img_size": SIDE, "window_size": 2, "depths": (2, 2), "embed_dim": 8}
    settings = {**sizes, "num_heads": (2, 2), "num_classes": 3, **arguments}
    module = timm.create_model("swin_tiny_patch4_window7_224", **settings).eval()
    for name, parameter in module.named_parameters():
        if "qkv.weight" in name or "relative" in name:
            nn.init.normal_(parameter, std=0.5)
    nn.init.normal_(module.head.fc.weight, std=2)
    return module


def recorded(module: nn.Module) -> Recording:
    return vitviz.record(vitviz.from_module(module), make_photo())


@pytest.fixture(scope="module")
def swin() -> Recording:
    return recorded(tiny_swin())


def merging(coarse: tuple[int, int], fine: tuple[int, int]) -> np.ndarray:
    """Each row the mean of the finer patches under a coarser one."""
    matrix = np.zeros((coarse[0] * coarse[1], fine[0] * fine[1]))
    for row in range(fine[0]):
        for col in range(fine[1]):
            above = row * coarse[0] // fine[0] * coarse[1] + col * coarse[1] // fine[1]
            matrix[above, row * fine[1] + col] = 1
    return matrix / matrix.sum(axis=1, keepdims=True)


def by_matrices(rec: Recording, row: np.ndarray, fusion: str, start: int, w: float) -> np.ndarray:
    """One matrix over all tokens of each layer after another, multiplied from the first on."""
    fuse = {"mean": np.mean, "max": np.max, "min": np.min}[fusion]
    grid, flow = rec.grid, np.eye(rec.grid[0] * rec.grid[1])
    for layer in range(rec.num_layers):
        flow, grid = merging(rec.layer_grid(layer), grid) @ flow, rec.layer_grid(layer)
        if layer >= start:
            fused = fuse(rec.attention(layer).double().numpy(), axis=0)
            mixed = (1 - w) * fused + w * np.eye(len(fused))
            flow = mixed / mixed.sum(axis=1, keepdims=True) @ flow
    return (row @ flow).reshape(rec.grid)


@pytest.mark.parametrize("query", ["cls", (5, 12)])
@pytest.mark.parametrize(
    ("fusion", "start", "residual"), [("mean", 0, 0.5), ("max", 1, 0.5), ("min", 3, 0.0)]
)
def test_rollout_is_the_product_of_all_matrices(swin, query, fusion, start, residual) -> None:
    row = np.full(64, 1 / 64) if query == "cls" else np.eye(64)[5 // 2 * 8 + 12 // 2]
    options = {"fusion": fusion, "start": start, "residual": residual}
    heat = vitviz.explain(swin, "rollout", query, **options)
    expected = by_matrices(swin, row, fusion, start, residual)
    np.testing.assert_allclose(heat.values, expected, rtol=1e-4, atol=1e-8)
    assert heat.values.sum() == pytest.approx(1, abs=1e-5)


def test_channels_that_look_at_channels_are_refused() -> None:
    arguments = {"embed_dims": (16, 32), "depths": (1, 1), "num_heads": (2, 2)}
    rec = recorded(timm.create_model("davit_tiny", num_classes=3, **arguments))
    with pytest.raises(vitviz.MethodError) as caught:
        vitviz.explain(rec, "rollout")
    assert caught.value.id == "rollout_of_channels"


def test_shared_keys() -> None:
    """Keys that many tokens share."""
    torch.manual_seed(0)
    arguments = {"embed_dims": (8, 16, 20, 16), "depths": (1, 1, 1, 1)}
    module = timm.create_model("pvt_v2_b0", num_classes=3, **arguments)
    for key, parameter in module.named_parameters():
        if key.endswith(("q.weight", "kv.weight", "qkv.weight")):
            nn.init.normal_(parameter)
    small = vitviz.from_module(tiny_swin()).transform
    rec = vitviz.record(vitviz.from_module(module, transform=small), make_photo())
    assert rec.grid == (16, 16)
    rows, cols = rec.layer_grid(rec.num_layers - 1)
    row = np.full(rows * cols, 1 / (rows * cols))
    expected = by_matrices(rec, row, "mean", 0, 0.5)
    assert expected.std() > 1e-3 * expected.mean()
    np.testing.assert_allclose(vitviz.explain(rec, "rollout").values, expected, rtol=1e-3)


def test_uniform_attention_by_hand() -> None:
    """Grids of 4 × 4 and 2 × 2 in windows of 2 × 2, one layer each. The last: ½ + ⅛ of itself, ⅛
    of the three others; a quarter of that goes to each patch below; within their windows all have
    the same, which attention leaves as it is."""
    module = tiny_swin(img_size=16, depths=(1, 1))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "relative" in name:
                parameter.zero_()
            elif "qkv.weight" in name:
                parameter[: len(parameter) // 3] *= 1e-6  # of the queries
    heat = vitviz.explain(recorded(module), "rollout", (1, 3))
    expected = np.full((4, 4), 1 / 32)
    expected[:2, 2:] = 5 / 32
    np.testing.assert_allclose(heat.values, expected, atol=1e-6)


def test_it_reaches_exactly_the_patches_that_can_change_the_token(swin: Recording) -> None:
    """A patch has a value where its pixels change what the last layer makes of the query."""
    pixels = swin.pixels[None].clone().requires_grad_()
    last = swin.vit.module.layers[-1].blocks[-1]
    found: list[Tensor] = []
    hook = last.register_forward_hook(lambda *a: found.append(a[-1]))
    swin.vit.module(pixels)
    hook.remove()
    direction = torch.randn(found[0].shape[-1], generator=torch.Generator().manual_seed(0))
    [slope] = torch.autograd.grad(found[0][0, 2, 5] @ direction, pixels)
    nothing = 1e-30  # timm's masks leave a score of −100 behind
    reached = slope[0].abs().sum(dim=0).view(16, 4, 16, 4).sum(dim=(1, 3)) > nothing
    heat = vitviz.explain(swin, "rollout", (5, 10))
    assert np.array_equal(heat.values > nothing, reached.numpy())
    assert 0 < reached.sum() < 200


@pytest.mark.parametrize("options", [{"discard": 0.5}, {"artefacts": "mask"}])
def test_what_is_for_one_map_a_layer_is_refused(swin: Recording, options) -> None:
    with pytest.raises(vitviz.MethodError, match="leaves nothing out"):
        vitviz.explain(swin, "rollout", **options)


def test_missing_layers_and_other_grids_are_refused() -> None:
    torch.manual_seed(0)
    missing = recorded(timm.create_model("cait_xxs24_224", depth=2, embed_dim=48, num_heads=2))
    with pytest.raises(vitviz.MethodError, match=r"2 attention modules .* are not shown"):
        vitviz.explain(missing, "rollout")
    two_sizes = recorded(timm.create_model("crossvit_tiny_240"))
    with pytest.raises(vitviz.MethodError, match="grids that merge"):
        vitviz.explain(two_sizes, "rollout")


class Beside(nn.Module):
    """Two models whose numbers are added."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = tiny_swin(depths=(1, 1)), tiny_swin(depths=(1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        added: Tensor = self.one(pixels) + self.other(pixels)
        return added


def test_layers_beside_one_another_are_refused() -> None:
    transform = vitviz.from_module(tiny_swin()).transform
    rec = vitviz.record(vitviz.from_module(Beside(), transform=transform), make_photo())
    with pytest.raises(vitviz.MethodError, match="grids that merge"):
        vitviz.explain(rec, "rollout")


class TestGradCam:
    @pytest.mark.parametrize(
        ("layer", "norm"), [(-1, "layers.1.blocks.1.norm1"), (1, "layers.0.blocks.1.norm1")]
    )
    def test_it_is_that_of_the_layers_input_norm(self, swin: Recording, layer, norm) -> None:
        """On the rows and columns that timm's norm gives, before windows are cut."""
        found: list[Tensor] = []
        module = swin.vit.module.get_submodule(norm)
        hook = module.register_forward_hook(lambda *a: found.append(a[-1]))
        score = swin.vit.module(swin.pixels[None])[0, 2]
        hook.remove()
        [slope] = torch.autograd.grad(score, found[0])
        expected = (found[0] * slope.mean(dim=(1, 2), keepdim=True)).sum(dim=-1)[0].relu()
        heat = vitviz.explain(swin, "gradcam", target=2, layer=layer)
        assert expected.max() > 0
        np.testing.assert_allclose(
            heat.values, expected.detach(), atol=1e-5 * float(expected.detach().max())
        )

    def test_hieras_tokens_are_put_back_in_place(self) -> None:
        """Its tokens are kept window by window; a change of one patch's pixels is looked for."""
        torch.manual_seed(0)
        module = timm.create_model("hiera_tiny_224", embed_dim=32, num_classes=3)
        nn.init.normal_(module.head.fc.weight)
        rec = vitviz.record(vitviz.from_module(module, ("a", "b", "c")), make_photo())
        heat = vitviz.explain(rec, "gradcam", target=1, layer=0)
        changed = rec.pixels.clone()
        changed[:, 8:12, 200:204] += 3  # of patch (2, 50), in the model's own input
        after = vitviz.explain(vitviz.record(rec.vit, changed), "gradcam", target=1, layer=0)
        weights = np.abs(after.values - heat.values)
        row, col = np.unravel_index(weights.argmax(), weights.shape)
        assert abs(row - 2) <= 1
        assert abs(col - 50) <= 1

    def test_an_earlier_layer_of_a_plain_model(self) -> None:
        torch.manual_seed(0)
        module = timm.create_model("vit_tiny_patch16_224", img_size=SIDE, depth=3, num_classes=3)
        nn.init.normal_(module.head.weight)
        rec = recorded(module)
        found: list[Tensor] = []
        hook = module.blocks[1].norm1.register_forward_hook(lambda *a: found.append(a[-1]))
        score = module(rec.pixels[None])[0, 2]
        hook.remove()
        [slope] = torch.autograd.grad(score, found[0])
        expected = (found[0] @ slope[0, 1:].mean(dim=0)).relu()[0, 1:].view(4, 4)
        heat = vitviz.explain(rec, "gradcam", target=2, layer=1)
        np.testing.assert_allclose(heat.values, expected.detach(), atol=1e-6)
