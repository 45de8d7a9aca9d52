"""What a model's numbers mean, and that what is measured fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import transformers
from families import make_photo
from open_clip.transformer import VisionTransformer as OpenClipTower
from torch import Tensor, nn
from torchvision import transforms
from transformers_configs import small

import vitviz
from vitviz.inside.heads import ablate, head_importance
from vitviz.measures.faithfulness import deletion, insertion, perturbation, saco
from vitviz.models.vit import Vit

SIDE = 64
TRANSFORM = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor()])


def small_vit(classes: int = 5, **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=SIDE, depth=2, num_classes=classes, **arguments
    )
    for name, parameter in module.named_parameters():
        if name in ("head.weight", "blocks.0.attn.qkv.weight", "blocks.1.attn.qkv.weight"):
            nn.init.normal_(parameter, std=0.15)
    return module


def of_transformers(**settings: object) -> nn.Module:
    torch.manual_seed(0)
    return transformers.ViTForImageClassification(small(transformers.ViTConfig, **settings))


def loaded(module: nn.Module, **arguments: object) -> Vit:
    return vitviz.from_module(module, transform=TRANSFORM, **arguments)


def recorded(module: nn.Module, **arguments: object) -> vitviz.Recording:
    return vitviz.record(loaded(module, **arguments), make_photo())


class Then(nn.Module):
    """A ViT and what follows."""

    def __init__(self, after: Callable[[Tensor], Tensor], classes: int = 5) -> None:
        super().__init__()
        self.inner = small_vit(classes)
        self.after = after

    def forward(self, pixels: Tensor) -> Tensor:
        return self.after(self.inner(pixels))


def raw(rec: vitviz.Recording) -> Tensor:
    """What the model inside gives, in float64's stead as exact as it is."""
    inner = getattr(rec.vit.module, "inner", rec.vit.module)
    with torch.no_grad():
        return inner(rec.pixels[None])[0]


class TestWhatTheModelSays:
    @pytest.mark.parametrize(
        ("kind", "meaning"),
        [
            ("single_label_classification", "softmax"),
            ("multi_label_classification", "sigmoid"),
            ("regression", "score"),
            (None, "softmax"),
        ],
    )
    def test_problem_type(self, kind: str | None, meaning: str) -> None:
        assert recorded(of_transformers(num_labels=4, problem_type=kind)).outputs == meaning

    @pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
    def test_problem_type_of_a_model_behind_a_normalisation(self, kind: str) -> None:
        rec = recorded(nn.Sequential(nn.Identity(), of_transformers(problem_type=kind)))
        assert rec.outputs == {"multi_label_classification": "sigmoid"}.get(kind, "score")

    def test_a_map_of_features_is_no_class(self) -> None:
        class Features(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = small_vit(0)

            def forward(self, pixels: Tensor) -> Tensor:
                patches = self.inner.forward_features(pixels)[:, 1:]
                return patches.mT.unflatten(2, (4, 4))

        rec = recorded(Features())
        assert (rec.outputs, rec.predictions) == ("embedding", [])

    def test_one_number_is_a_score(self) -> None:
        rec = recorded(small_vit(1))
        assert rec.outputs == "score"
        [only] = rec.predictions
        assert (only.label, only.index, only.probability) == ("output 0", 0, None)
        assert only.value == pytest.approx(float(raw(rec)[0]))

    def test_one_number_without_a_dimension(self) -> None:
        rec = recorded(Then(lambda x: x[:, 0], 1))
        assert (rec.outputs, tuple(rec.logits.shape)) == ("score", (1,))

    def test_what_the_owner_says_comes_first(self) -> None:
        for meaning in ("softmax", "sigmoid", "score", "embedding"):
            assert recorded(small_vit(), outputs=meaning).outputs == meaning

    def test_no_other_word_is_taken(self) -> None:
        for wrong in ("logits", "", 3, ["softmax"]):
            with pytest.raises(vitviz.ModelError, match="choose one of softmax, sigmoid"):
                loaded(small_vit(), outputs=wrong)


class TestEmbeddings:
    @staticmethod
    def tower() -> nn.Module:
        return OpenClipTower(SIDE, 16, 48, 2, 3, 2.0, output_dim=32)

    @staticmethod
    def wrapped_without_head() -> nn.Module:
        return Then(lambda x: x, 0)

    @staticmethod
    def head_taken_off() -> nn.Module:
        module = small_vit(1000)
        module.head = nn.Identity()
        return module

    @staticmethod
    def body_of_transformers() -> nn.Module:
        return transformers.ViTModel(small(transformers.ViTConfig))

    @staticmethod
    def clip_of_timm() -> nn.Module:
        return timm.create_model(
            "vit_base_patch16_clip_224.openai",
            img_size=SIDE,
            depth=2,
            embed_dim=48,
            num_heads=3,
        )

    @pytest.mark.parametrize(
        "make", [tower, wrapped_without_head, head_taken_off, body_of_transformers, clip_of_timm]
    )
    def test_no_predictions_and_no_maps_of_a_class(self, make: Callable[[], nn.Module]) -> None:
        rec = recorded(make())
        assert (rec.outputs, rec.predictions, len(rec.logits)) == ("embedding", [], 0)
        assert vitviz.predict(rec.vit, make_photo()) == []
        assert vitviz.explain(rec, "attention").values.shape == (4, 4)
        with pytest.raises(vitviz.MethodError, match="no classifier"):
            vitviz.explain(rec, "occlusion")

    def test_the_owner_may_see_classes_in_it(self) -> None:
        names = [f"direction {i}" for i in range(192)]
        rec = recorded(small_vit(0), outputs="score", labels=names)
        assert [p.label for p in rec.predictions] == names

    def test_names_make_classes_of_it(self) -> None:
        rec = recorded(Then(lambda x: x, 0), labels=[str(i) for i in range(192)])
        assert rec.outputs == "softmax"
        assert len(rec.predictions) == 192


class TestTwiceTheSameIsNotDone:
    def test_a_softmax_inside(self) -> None:
        rec = recorded(Then(nn.Softmax(dim=-1)))
        expected = raw(rec).double().softmax(-1)
        assert rec.outputs == "softmax"
        for prediction in (*rec.predictions, *vitviz.predict(rec.vit, make_photo())):
            assert prediction.probability == pytest.approx(float(expected[prediction.index]))

    @pytest.mark.parametrize("outputs", [None, "sigmoid"])
    @pytest.mark.parametrize("apply", [nn.Sigmoid(), torch.sigmoid, lambda x: x.sigmoid()])
    def test_a_sigmoid_inside(self, apply: Callable[[Tensor], Tensor], outputs: str | None) -> None:
        rec = recorded(Then(apply), outputs=outputs)
        expected = raw(rec).double().sigmoid()
        assert rec.outputs == "sigmoid"
        for prediction in (*rec.predictions, *vitviz.predict(rec.vit, make_photo())):
            assert prediction.probability == pytest.approx(float(expected[prediction.index]))

    def test_one_label_with_a_sigmoid(self) -> None:
        rec = recorded(Then(nn.Sigmoid(), 1), labels=["ill"])
        [only] = rec.predictions
        assert (rec.outputs, only.label) == ("sigmoid", "ill")
        assert only.probability == pytest.approx(float(raw(rec).sigmoid()[0]))

    def test_logarithms_of_probabilities_are_logits(self) -> None:
        rec = recorded(Then(nn.LogSoftmax(dim=-1)))
        expected = raw(rec).double().softmax(-1)
        for prediction in rec.predictions:
            assert prediction.probability == pytest.approx(float(expected[prediction.index]))

    def test_a_sigmoid_inside_the_network_is_none_of_the_output(self) -> None:
        class Gated(Then):
            def forward(self, pixels: Tensor) -> Tensor:
                return self.inner(pixels * pixels.mean().sigmoid())

        assert recorded(Gated(lambda x: x)).outputs == "softmax"


class TestSigmoid:
    def test_each_label_has_its_own_probability(self) -> None:
        rec = recorded(small_vit(), outputs="sigmoid", labels=["a", "b", "c", "d", "e"])
        expected = raw(rec).double().sigmoid()
        values = [p.value for p in rec.predictions]
        assert values == sorted(values, reverse=True)
        for prediction in rec.predictions:
            assert prediction.label == "abcde"[prediction.index]
            assert prediction.probability == pytest.approx(float(expected[prediction.index]))
        assert sum(values) != pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("meaning", ["softmax", "sigmoid", "score"])
class TestMeasures:
    @staticmethod
    def of(meaning: str, logits: Tensor) -> Tensor:
        """Independently of the library, in float64."""
        numbers = logits.double()
        if meaning == "softmax":
            return numbers.exp() / numbers.exp().sum(-1, keepdim=True)
        return 1 / (1 + (-numbers).exp()) if meaning == "sigmoid" else numbers

    def test_curves_begin_and_end_where_they_must(self, meaning: str) -> None:
        rec = recorded(small_vit(), outputs=meaning)
        heat, whole = vitviz.explain(rec, "attention"), self.of(meaning, raw(rec))
        with torch.no_grad():
            grey = self.of(meaning, rec.vit.module(torch.zeros_like(rec.pixels)[None])[0])
        removed = deletion(rec, heat, 3, steps=4).values
        assert removed[[0, -1]] == pytest.approx([float(whole[3]), float(grey[3])], abs=1e-5)
        revealed = insertion(rec, heat, 3, steps=4).values
        assert revealed[-1] == pytest.approx(float(whole[3]), abs=1e-5)
        assert -1 <= saco(rec, heat, 3, groups=4) <= 1

    def test_occlusion_of_the_whole_photo(self, meaning: str) -> None:
        rec = recorded(small_vit(), outputs=meaning)
        with torch.no_grad():
            grey = self.of(meaning, rec.vit.module(torch.zeros_like(rec.pixels)[None])[0])
        for index in range(5):
            drop = max(float((self.of(meaning, raw(rec)) - grey)[index]), 0.0)
            found = vitviz.explain(rec, "occlusion", target=index, window=4, stride=4).values
            np.testing.assert_allclose(found, drop, atol=1e-5)

    def test_a_head_that_is_switched_off(self, meaning: str) -> None:
        rec = recorded(small_vit(), outputs=meaning)
        index = rec.predictions[0].index
        without = {p.index: p.value for p in ablate(rec, [(1, 0)])}
        whole = float(self.of(meaning, raw(rec))[index])
        expected = whole - without[index]
        assert head_importance(rec).heads[1, 0] == pytest.approx(expected, abs=1e-5)

    def test_perturbation(self, meaning: str) -> None:
        rec = recorded(small_vit(), outputs=meaning)
        heat = vitviz.explain(rec, "attention")
        if meaning == "score":
            with pytest.raises(vitviz.MethodError, match="use deletion, insertion or saco"):
                perturbation(rec, heat, positive=True)
            return
        assert perturbation(rec, heat, 2, positive=True).shape == (9,)


def test_a_label_that_does_not_apply_and_still_does_not() -> None:
    """Its logit is −10 whatever is seen: it never becomes the largest, and never changes."""
    module = small_vit()
    with torch.no_grad():
        module.head.weight.zero_()
        module.head.bias.copy_(torch.tensor([-10.0, 10.0, 3.0, 0.5, -0.5]))
    rec = recorded(module, outputs="sigmoid")
    heat = vitviz.explain(rec, "attention")
    for index in range(5):
        assert perturbation(rec, heat, index, positive=True).all()


def test_the_map_of_a_score_is_its_gradient() -> None:
    rec = recorded(small_vit(1))
    two = small_vit(2)  # the same with a second class whose logit is 0
    state = {**rec.vit.module.state_dict()}
    for name in ("head.weight", "head.bias"):
        state[name] = torch.cat([state[name], torch.zeros_like(state[name])])
    two.load_state_dict(state)
    both = recorded(two)
    for method in ("relevance", "gradcam", "legrad"):
        found = vitviz.explain(rec, method).values
        np.testing.assert_allclose(found, vitviz.explain(both, method, target=0).values, atol=1e-6)
    assert vitviz.explain(rec, "relevance").made_from.target_label == "output 0"


def test_scores_stand_in_the_models_order() -> None:
    rec = recorded(small_vit(3), outputs="score", labels=["x", "y", "width"])
    assert [p.label for p in rec.predictions] == ["x", "y", "width"]
    assert [p.value for p in rec.predictions] == pytest.approx(raw(rec).tolist())
