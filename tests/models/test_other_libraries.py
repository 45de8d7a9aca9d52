"""Models of other libraries, and what models return."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from transformers_configs import small

import vitviz
from vitviz.models.returned import numbers_in

METHODS = ("attention", "rollout", "gradient_rollout", "relevance", "legrad", "gradcam")


class TestOtherLibraries:
    @pytest.fixture
    def hf(self) -> nn.Module:
        torch.manual_seed(0)
        config = small(transformers.ViTConfig, num_labels=5)
        return transformers.ViTForImageClassification(config).eval()

    @pytest.fixture
    def square(self) -> transforms.Compose:
        return transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])

    def check(self, wrapped: nn.Module, hf: nn.Module, square: Any, photo: Image.Image) -> None:
        rec = vitviz.record(vitviz.from_module(wrapped, transform=square), photo)
        with torch.no_grad():
            torch.testing.assert_close(rec.logits, hf(rec.pixels[None]).logits[0])
        assert rec.is_plain
        for method in METHODS:
            assert vitviz.explain(rec, method).values.any()

    def test_a_subclass(self, hf: nn.Module, square: Any, photo: Image.Image) -> None:
        class Mine(transformers.ViTForImageClassification):
            pass

        mine = Mine(hf.config)
        mine.load_state_dict(hf.state_dict())
        self.check(mine, hf, square, photo)

    def test_one_inside_a_class_of_ones_own(
        self, hf: nn.Module, square: Any, photo: Image.Image
    ) -> None:
        class Mine(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.vit = hf.vit
                self.head = hf.classifier

            def forward(self, pixels: Tensor) -> Tensor:
                return self.head(self.vit(pixel_values=pixels).last_hidden_state[:, 0])

        self.check(Mine(), hf, square, photo)

    def test_a_head_of_ones_own_on_clips_tower(self, square: Any, photo: Image.Image) -> None:
        """Its attention is called with names."""
        settings = small(transformers.CLIPVisionConfig)
        tower, head = transformers.CLIPVisionModel(settings), nn.Linear(48, 4)

        class Mine(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.tower, self.head = tower, head

            def forward(self, pixels: Tensor) -> Tensor:
                return self.head(self.tower(pixels).pooler_output)

        rec = vitviz.record(vitviz.from_module(Mine(), transform=square), photo)
        assert (len(rec.predictions), rec.is_plain) == (4, True)
        for method in METHODS:
            assert vitviz.explain(rec, method).values.any()

    def test_timms_model_in_a_class_of_transformers(self, photo: Image.Image) -> None:
        config = transformers.TimmWrapperConfig(
            architecture="vit_tiny_patch16_224", num_labels=3, model_args={"depth": 2}
        )
        module = transformers.TimmWrapperForImageClassification(config).eval()
        transform = transforms.Compose([transforms.Resize((224, 224)), transforms.ToTensor()])
        rec = vitviz.record(vitviz.from_module(module, transform=transform), photo)
        assert (rec.is_plain, rec.num_layers, len(rec.predictions)) == (True, 2, 3)
        inner = vitviz.record(vitviz.from_module(module.timm_model, transform=transform), photo)
        for method in METHODS:
            found, wanted = (vitviz.explain(r, method).values for r in (rec, inner))
            assert abs(found - wanted).max() < 1e-5

    def test_legrad_of_torchvision_is_norm_and_head_of_each_block(self, photo: Image.Image) -> None:
        """Σ over layers by hand: each block's tokens through its own norm and head."""
        from torchvision.models import VisionTransformer

        torch.manual_seed(0)
        module = VisionTransformer(64, 16, 2, 3, 48, 96, num_classes=5).eval()
        nn.init.normal_(module.heads.head.weight)
        square = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
        rec = vitviz.record(vitviz.from_module(module, transform=square), photo)
        states: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda *args: states.append(args[2]))
            for block in module.encoder.layers
        ]
        maps = [rec.attention(layer) for layer in range(2)]
        module(rec.pixels[None])
        for hook in hooks:
            hook.remove()
        # The attention of block 1 acts on its score through O = A V, projected into the state.
        block = module.encoder.layers[1]
        tokens = block.ln_1(states[0])
        weight, bias = block.self_attention.in_proj_weight, block.self_attention.in_proj_bias
        value = (tokens @ weight[96:].T + bias[96:])[0].unflatten(-1, (3, 16)).transpose(0, 1)
        attention = maps[1].clone().requires_grad_()
        joined = (attention @ value).transpose(0, 1).flatten(1)
        x = states[0] + block.self_attention.out_proj(joined)
        x = x + block.mlp(block.ln_2(x))
        logits = module.heads(module.encoder.ln(x)[:, 0])[0]
        target = rec.predictions[0].index
        torch.testing.assert_close(logits, rec.logits, atol=1e-4, rtol=1e-4)
        [last] = torch.autograd.grad(logits[target], attention)
        block = module.encoder.layers[0]
        tokens = block.ln_1(module.encoder.pos_embedding + self.embedded(module, rec.pixels))
        weight, bias = block.self_attention.in_proj_weight, block.self_attention.in_proj_bias
        value = (tokens @ weight[96:].T + bias[96:])[0].unflatten(-1, (3, 16)).transpose(0, 1)
        attention = maps[0].clone().requires_grad_()
        joined = (attention @ value).transpose(0, 1).flatten(1)
        x = module.encoder.pos_embedding + self.embedded(module, rec.pixels)
        x = x + block.self_attention.out_proj(joined)
        x = x + block.mlp(block.ln_2(x))
        score = module.heads(module.encoder.ln(x)[:, 0])[0, target]
        [first] = torch.autograd.grad(score, attention)
        wanted = sum(g.clamp(min=0).mean(dim=(0, 1)) for g in (first, last)) / 2
        found = torch.tensor(vitviz.explain(rec, "legrad").values)
        torch.testing.assert_close(found, wanted[1:].view(4, 4), atol=1e-6, rtol=1e-3)

    def embedded(self, module: Any, pixels: Tensor) -> Tensor:
        patches = module._process_input(pixels[None])
        return torch.cat([module.class_token, patches], dim=1)


class TestOutputs:
    def test_the_owners_number_of_classes_decides(self) -> None:
        features, logits = torch.zeros(1, 8), torch.ones(1, 5)
        assert numbers_in((features, logits), 5)[1] is logits
        assert numbers_in((features, logits), 8)[1] is features

    @pytest.mark.parametrize(
        "output", [(torch.zeros(1, 8), torch.ones(1, 5)), {"map": torch.zeros(1, 5, 4, 4)}, None]
    )
    def test_what_is_unclear_is_refused(self, output: object) -> None:
        with pytest.raises(vitviz.ModelError, match="which numbers are its classes"):
            numbers_in(output)

    def test_a_token_sequence_is_read_at_its_first(self) -> None:
        tokens = torch.randn(1, 5, 8)
        assert torch.equal(numbers_in(tokens)[1], tokens[:, 0])

    def test_one_number_a_photo(self) -> None:
        assert numbers_in(torch.tensor([3.0]))[1].tolist() == [[3.0]]
