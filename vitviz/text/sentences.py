"""A small classifier on the vectors of sentences: logistic regression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["SentenceClassifier", "train_classifier"]

PENALTY = 0.1  # on half the square of the weights, beside the sum of the losses


@dataclass(frozen=True, eq=False)
class SentenceClassifier:
    """p = 1 / (1 + e^−(w·x + b)).

    Attributes:
        weights: w, (width,).
        bias: b.
    """

    weights: Tensor
    bias: float

    def probabilities(self, vectors: Tensor) -> Tensor:
        """Of the second class, for each sentence's vector (sentences, width): (sentences,)."""
        return (vectors @ self.weights + self.bias).sigmoid()


def train_classifier(vectors: Tensor, is_second: Tensor) -> SentenceClassifier:
    """The weights that make the sum of all cross-entropies, and a small penalty on the weights,
    least. There is one such minimum; L-BFGS finds it.

    Args:
        vectors: (sentences, width).
        is_second: boolean (sentences,), which of the two classes each sentence has.
    """
    weights = torch.zeros(vectors.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    targets = is_second.float()
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = vectors @ weights + bias
        found = F.binary_cross_entropy_with_logits(scores, targets, reduction="sum")
        found = found + PENALTY / 2 * weights.square().sum()
        found.backward()
        return found

    with torch.enable_grad():
        optimizer.step(loss)
    return SentenceClassifier(weights.detach(), float(bias.detach()))
