"""Which calls are attention, and the map derived from one."""

from __future__ import annotations

import pytest
import timm
import torch
from families import random_module, set_fused
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import vitviz
from vitviz.recording.calls import AttentionCall
from vitviz.recording.recorder import Recorder


class TestAttentionCall:
    """Against a softmax written out in float64."""

    def call(self, **changes: object) -> AttentionCall:
        torch.manual_seed(1)
        query, key, value = torch.randn(3, 1, 4, 6, 8).unbind(0)
        given = {"mask": None, "scale": 0.3, "is_causal": False, **changes}
        return AttentionCall("m", query, given.pop("key", key), value, **given)

    def expected(self, call: AttentionCall, added: Tensor | float = 0.0) -> Tensor:
        key = call.key.double().repeat_interleave(4 // call.key.shape[1], 1)
        scores = torch.einsum("bhqd,bhkd->bhqk", call.query.double(), key) * call.scale + added
        weights = scores.exp()
        return (weights / weights.sum(-1, keepdim=True)).float()

    def check(self, call: AttentionCall, added: Tensor | float = 0.0) -> None:
        full = self.expected(call, added)
        torch.testing.assert_close(call.rows(slice(None)), full)
        torch.testing.assert_close(call.rows(slice(2, 4)), full[:, :, 2:4])

    def test_plain_with_its_own_scale(self) -> None:
        self.check(self.call())

    def test_additive_mask_with_a_row_for_each_query(self) -> None:
        mask = torch.randn(1, 4, 6, 6)
        self.check(self.call(mask=mask), mask.double())

    def test_additive_mask_of_one_row(self) -> None:
        mask = torch.randn(1, 1, 1, 6)
        self.check(self.call(mask=mask), mask.double())

    def test_boolean_mask(self) -> None:
        mask = torch.rand(6, 6) > 0.4
        mask.fill_diagonal_(True)
        added = torch.zeros(6, 6, dtype=torch.float64).masked_fill(~mask, -torch.inf)
        self.check(self.call(mask=mask), added)

    @pytest.mark.parametrize("kind", [torch.bool, torch.float32])
    def test_a_query_that_may_look_nowhere(self, kind: torch.dtype) -> None:
        allowed = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) > 0.4
        allowed[:, 0] = True
        allowed[2] = False
        added = torch.zeros(6, 6).masked_fill(~allowed, -torch.inf)
        mask = allowed if kind == torch.bool else added
        call = self.call(mask=mask)
        attended = nn.functional.scaled_dot_product_attention(
            call.query, call.key, call.value, attn_mask=mask, scale=call.scale
        )
        assert (attended[:, :, 2] == 0).all()
        torch.testing.assert_close(call.rows(slice(None)) @ call.value, attended)
        assert (call.rows(slice(2, 3)) == 0).all()

    def test_causal(self) -> None:
        added = torch.full((6, 6), -torch.inf, dtype=torch.float64).triu(1)
        self.check(self.call(is_causal=True), added)

    @pytest.mark.parametrize("heads", [1, 2])
    def test_grouped_queries(self, heads: int) -> None:
        self.check(self.call(key=torch.randn(1, heads, 6, 8)))

    def test_a_scale_given_to_the_primitive_is_kept(self) -> None:
        class Scaled(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.child = nn.Sequential(nn.Identity())

            def forward(self, x: Tensor) -> Tensor:
                return nn.functional.scaled_dot_product_attention(x, x, x, scale=0.7)

        module = Scaled()
        x = torch.randn(1, 2, 5, 4)
        with Recorder(module) as recorder:
            output = module(x)
        [call] = recorder.calls
        assert isinstance(call, AttentionCall)
        torch.testing.assert_close(call.rows(slice(None)) @ x, output)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet18", {}),
        # a softmax, but no map from token to token
        ("lambda_resnet26t", {"pretrained_cfg_overlay": {"input_size": (3, 64, 64)}}),
        # subtracts one map from another: two calls a layer
        ("vit_dlittle_patch16_reg1_gap_256", {"img_size": 64, "depth": 2}),
    ],
)
def test_a_model_without_maps_is_refused(
    name: str, arguments: dict[str, object], photo: Image.Image, fused: bool
) -> None:
    module = timm.create_model(name, **arguments)
    set_fused(module, fused)
    with pytest.raises(vitviz.ModelError, match=r"cannot be shown|no attention map"):
        vitviz.record(vitviz.from_module(module), photo)


class Reweighted(nn.Module):
    """A ViT whose class probabilities are mixed by a matrix: a softmax that is no attention."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = random_module("vit")
        self.patch_embed, self.num_prefix_tokens = self.vit.patch_embed, 1

    def forward(self, x: Tensor) -> Tensor:
        return self.vit(x).softmax(-1) @ torch.eye(1000)


def test_another_softmax_is_no_attention(photo: Image.Image) -> None:
    steps = [transforms.Resize((64, 96)), transforms.ToTensor()]
    vit = vitviz.from_module(Reweighted(), transform=transforms.Compose(steps))
    assert vitviz.record(vit, photo).num_layers == 3
