"""From the last tokens to a class: one row of numbers for each class, multiplied and added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitviz.errors import ModelError
from vitviz.methods.target import check_class
from vitviz.models.weights import as_floats
from vitviz.recording.recording import Recording

__all__ = ["ClassScore", "ScaledSoftmax", "class_score", "image_features", "scaled_softmax"]


@dataclass(frozen=True)
class ClassScore:
    """How a class gets its logit: features · weights + bias.

    Attributes:
        features: what the classifier reads of the photo, (width,).
        weights: the class's row of the classifier, (width,).
        bias: added to the sum.
    """

    features: Tensor
    weights: Tensor
    bias: float

    @property
    def products(self) -> Tensor:
        """Each feature times its weight, (width,)."""
        return self.features * self.weights

    @property
    def logit(self) -> float:
        """The class's score."""
        return float(self.products.sum()) + self.bias


@dataclass(frozen=True)
class ScaledSoftmax:
    """p = softmax(s · z), and where it goes when the scale s grows.

    Attributes:
        probabilities: p, (classes,).
        mean: Σ p z, the mean of the logits weighted with p.
        slopes: ∂p/∂s = p · (z − mean), (classes,): a class rises if its logit is above the mean.
    """

    probabilities: Tensor
    mean: float
    slopes: Tensor


def scaled_softmax(logits: Tensor, scale: float) -> ScaledSoftmax:
    """The probabilities of scaled logits, (classes,), and which of them rise with the scale."""
    probabilities = (scale * logits).softmax(dim=-1)
    mean = (probabilities * logits).sum()
    return ScaledSoftmax(probabilities, float(mean), probabilities * (logits - mean))


@torch.no_grad()
def image_features(rec: Recording) -> Tensor:
    """What the classifier reads of this photo: float32 (width,). One more forward pass.

    Raises:
        ModelError: if the model's classifier is not one matrix behind the features.
    """
    anatomy = rec.vit.anatomy
    head = anatomy.classifier
    refused = ModelError(
        "scores_not_separable",
        "The classifier of {model} is not one matrix behind the last tokens, so its "
        "scores cannot be taken apart.",
        model=rec.vit.name,
    )
    if not isinstance(head, nn.Linear) or len(rec.logits) == 0:
        raise refused
    with rec.recorder():
        tokens = rec.vit.last_tokens(rec.core_pixels)
    if tokens is None:
        raise refused
    found = anatomy.pooled(tokens)
    if not torch.allclose(head(found)[0], rec.logits, atol=1e-3, rtol=1e-3):
        raise refused
    return found[0].float()


def class_score(rec: Recording, features: Tensor, index: int) -> ClassScore:
    """The parts of a class's logit.

    Args:
        rec: from `record`.
        features: its `image_features`.
        index: the class.

    Raises:
        MethodError: if there is no such class.
    """
    head: Any = rec.vit.anatomy.classifier
    index = check_class(rec, index)
    bias = 0.0 if head.bias is None else float(head.bias.detach()[index])
    return ClassScore(features, as_floats(head.weight)[index], bias)
