"""The contrastive loss, by hand and by an independent second computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vitviz.text.contrastive import contrast_pairs, training_steps


def test_by_hand() -> None:
    """Two pairs at right angles, τ = 1: p = e / (e + 1) on the diagonal, both ways."""
    found = contrast_pairs(torch.tensor([[2.0, 0], [0, 3]]), torch.tensor([[1.0, 0], [0, 1]]), 1.0)
    assert found.cosines.tolist() == [[1, 0], [0, 1]]
    right = math.e / (math.e + 1)
    assert found.texts_of_photos[0, 0].item() == pytest.approx(right)
    assert found.loss.item() == pytest.approx(-math.log(right))


def test_whoever_knows_nothing_loses_ln_n() -> None:
    found = contrast_pairs(torch.ones(8, 3), torch.ones(8, 3), 0.05)
    assert found.loss.item() == pytest.approx(math.log(8), abs=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_rows_columns_and_loss_in_numpy(temperature: float) -> None:
    generator = np.random.default_rng(0)
    photos, texts = generator.normal(size=(2, 5, 7))
    found = contrast_pairs(torch.tensor(photos), torch.tensor(texts), temperature)
    units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (photos, texts)]
    powers = np.exp(units[0] @ units[1].T / temperature)
    rows, columns = powers / powers.sum(axis=1, keepdims=True), powers / powers.sum(axis=0)
    assert found.texts_of_photos.numpy() == pytest.approx(rows)
    assert found.photos_of_texts.numpy() == pytest.approx(columns)
    loss = -np.mean([np.log(np.diag(rows)).mean(), np.log(np.diag(columns)).mean()])
    assert found.loss.item() == pytest.approx(loss)


def test_training_learns_a_batch_by_heart_and_is_the_same_again() -> None:
    torch.manual_seed(0)
    features, texts = torch.randn(8, 30), torch.randn(8, 20)
    found = training_steps(features, texts, 0.1, 40)
    losses = [float(step.loss) for step in found]
    assert len(losses) == 41
    assert losses[-1] < 0.1 < math.log(8) < losses[0]
    assert (found[-1].texts_of_photos.argmax(dim=1) == torch.arange(8)).all()
    torch.manual_seed(1)
    again = training_steps(features, texts, 0.1, 40)
    assert all(torch.equal(a.cosines, b.cosines) for a, b in zip(found, again, strict=True))


def test_training_is_possible_where_gradients_are_off() -> None:
    with torch.no_grad():
        assert len(training_steps(torch.randn(3, 4), torch.randn(3, 4), 0.1, 2)) == 3
