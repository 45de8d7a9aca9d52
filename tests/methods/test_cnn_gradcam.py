"""The convolutional counterpart: its predictions, its Grad-CAM, and no attention map."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from families import make_photo
from PIL import Image

import vitviz
from vitviz.measures.faithfulness import saco
from vitviz.models.labels import imagenet_names
from vitviz.models.vit import Vit
from vitviz.zoo.catalogue import COUNTERPART, offers


@pytest.fixture(scope="module")
def cnn() -> Vit:
    return vitviz.load_model(COUNTERPART)


def sample(name: str) -> Image.Image:
    return vitviz.load_image(next(s.path for s in vitviz.samples() if s.id == name))


def test_it_comes_along_but_is_not_offered(cnn: Vit) -> None:
    assert cnn.labels == imagenet_names()
    assert COUNTERPART not in [offer.name for offer in offers()]
    assert COUNTERPART not in vitviz.bundled_models()


def test_it_has_no_attention_map_and_says_why(cnn: Vit) -> None:
    with pytest.raises(vitviz.ModelError, match="no attention map: like a convolutional network"):
        vitviz.record(cnn, make_photo())


def test_predictions_are_the_softmax_of_its_logits(cnn: Vit) -> None:
    found = vitviz.predict(cnn, sample("cat"))
    assert len(found) == 1000
    assert found[0].label in {"tabby", "tiger cat", "Egyptian cat"}
    with torch.no_grad():
        logits = cnn.module(cnn.transform(sample("cat"))[None])[0]
    assert found[0].index == int(logits.argmax())
    assert found[0].probability == pytest.approx(float(logits.softmax(0).max()), abs=1e-5)


def test_gradcam_is_its_formula_by_finite_differences() -> None:
    """A shift of a whole channel by ε changes the logit by ε times the sum of its gradients."""
    torch.manual_seed(0)
    vit = vitviz.from_module(timm.create_model("resnet10t", num_classes=5))
    photo = make_photo()
    heat = vitviz.cnn_gradcam(vit, photo, target=3)
    with torch.no_grad():
        maps = vit.module.double().forward_features(vit.transform(photo)[None].double())
        _, channels, rows, cols = maps.shape
        shifted = maps + 1e-3 * torch.eye(channels)[:, :, None, None]
        change = vit.module.forward_head(shifted)[:, 3] - vit.module.forward_head(maps)[:, 3]
        weights = change / 1e-3 / (rows * cols)
        expected = (weights[:, None, None] * maps[0]).sum(dim=0).clamp(min=0)
    np.testing.assert_allclose(heat.values, expected.numpy(), rtol=1e-3, atol=1e-6)
    assert heat.values.max() > 0


@pytest.mark.parametrize(("label", "half"), [("Egyptian cat", 0), ("espresso", 1)])
def test_gradcam_finds_the_class_on_its_half(cnn: Vit, label: str, half: int) -> None:
    heat = vitviz.cnn_gradcam(cnn, sample("cat-and-coffee"), cnn.labels.index(label))
    left, right = np.array_split(heat.values, 2, axis=1)
    mass = (left.sum() / heat.values.sum(), right.sum() / heat.values.sum())
    assert mass[half] > 0.7


def test_what_cannot_be_is_refused(cnn: Vit) -> None:
    with pytest.raises(vitviz.MethodError, match="no class 1000"):
        vitviz.cnn_gradcam(cnn, make_photo(), target=1000)
    with pytest.raises(vitviz.ModelError, match="last convolution"):
        vitviz.cnn_gradcam(vitviz.load_model(), make_photo())


def test_the_models_own_gradients_stay_untouched(cnn: Vit) -> None:
    vitviz.cnn_gradcam(cnn, make_photo())
    assert all(p.grad is None for p in cnn.module.parameters())


def test_a_map_says_what_it_was_made_from_and_is_measured_for_no_other_class() -> None:
    torch.manual_seed(0)
    photo = make_photo()
    vit = vitviz.from_module(timm.create_model("resnet10t", num_classes=5), list("abcde"))
    made = vitviz.cnn_gradcam(vit, photo, target="d").made_from
    assert made is not None
    assert (made.method, made.target, made.target_label, made.model) == (
        "gradcam",
        3,
        "d",
        "resnet10t",
    )
    assert vitviz.cnn_gradcam(vit, photo).made_from.target == vitviz.predict(vit, photo)[0].index
    rec = vitviz.record(vitviz.from_module(timm.create_model("test_vit", num_classes=5)), photo)
    assert made.input != rec.input_hash
    with pytest.raises(vitviz.VitvizError) as met:
        saco(rec, vitviz.cnn_gradcam(vit, photo, target=3), target=2)
    assert met.value.id == "map_of_other_class"
