"""A class's score taken apart, against the model's logits."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

import vitviz
from vitviz.errors import MethodError, ModelError
from vitviz.inside.classifier import class_score, image_features, scaled_softmax

PHOTO = vitviz.samples()[0].path


def recorded(name: str, **options: object) -> vitviz.Recording:
    torch.manual_seed(0)
    options = {"img_size": 64, "depth": 2, "num_classes": 5, **options}
    module = timm.create_model(name, **options).eval()
    return vitviz.record(vitviz.from_module(module), vitviz.load_image(PHOTO))


@pytest.mark.parametrize(
    "options", [{}, {"global_pool": "avg"}, {"class_token": False, "global_pool": "avg"}]
)
def test_the_parts_add_up_to_the_logit(options: dict[str, object]) -> None:
    rec = recorded("vit_tiny_patch16_224", **options)
    features = image_features(rec)
    for index in range(5):
        found = class_score(rec, features, index)
        assert found.logit == pytest.approx(float(rec.logits[index]), abs=1e-5)
        assert float(found.products[3]) == pytest.approx(
            float(found.features[3] * found.weights[3])
        )


def test_two_heads_or_none_are_refused() -> None:
    for rec in (
        recorded("deit_tiny_distilled_patch16_224"),
        recorded("vit_tiny_patch16_224", num_classes=0),
    ):
        with pytest.raises(ModelError, match="cannot be taken apart"):
            image_features(rec)


def test_a_class_that_is_none_is_refused() -> None:
    rec = recorded("vit_tiny_patch16_224")
    with pytest.raises(MethodError, match="no class 9"):
        class_score(rec, image_features(rec), 9)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_classes_above_the_weighted_mean_rise_when_logits_are_scaled(scale: float) -> None:
    logits = torch.tensor([4.0, 3.7, 3.0, 1.0, -2.0], dtype=torch.float64)
    found = scaled_softmax(logits, scale)
    powers = np.exp(scale * logits.numpy())
    np.testing.assert_allclose(found.probabilities, powers / powers.sum())
    small = 1e-6
    ahead, behind = (scaled_softmax(logits, scale + sign * small) for sign in (1, -1))
    slopes = (ahead.probabilities - behind.probabilities) / (2 * small)
    np.testing.assert_allclose(found.slopes, slopes, atol=1e-8)
    assert ((slopes > 0) == (logits > found.mean)).all()
    rising = int((slopes > 0).sum())
    assert rising == {0.1: 3, 1.0: 2, 3.0: 1}[scale]  # the largest is not alone
