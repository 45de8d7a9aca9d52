"""Heads that look at a fixed place, and the classifier on sentences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import vitviz
from vitviz.inside.attention_steps import attention_steps
from vitviz.text.heads import PLACES, share_at
from vitviz.text.record import record_text, text_vectors
from vitviz.text.sentences import PENALTY, train_classifier

MODEL = vitviz.load_text_model()
SENTENCES = [
    "The cat sat on the mat because it was tired.",
    "Attention is all you need.",
    "Yesterday we walked along the river until the sun went down.",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_two_heads_look_at_the_neighbours(sentence: str) -> None:
    rec = record_text(MODEL, sentence)
    before, after = share_at(rec, "previous"), share_at(rec, "next")
    assert before.shape == (6, 12)
    assert divmod(int(before.argmax()), 12) == (0, 2)
    assert before.max() > 0.999
    assert divmod(int(after.argmax()), 12) == (1, 8)
    assert after.max() > 0.5


def test_a_place_is_averaged_over_the_words_that_have_it() -> None:
    rec = record_text(MODEL, SENTENCES[1])
    last = len(rec.tokens) - 1
    places = {
        "previous": [(word, word - 1) for word in range(2, last)],
        "next": [(word, word + 1) for word in range(1, last - 1)],
        "itself": [(word, word) for word in range(1, last)],
        "first": [(word, 0) for word in range(1, last)],
        "last": [(word, last) for word in range(1, last)],
    }
    assert set(places) == set(PLACES)
    for place, pairs in places.items():
        for layer in range(6):
            map_ = rec.attention(layer).double().numpy()
            expected = np.mean([map_[:, word, at] for word, at in pairs], axis=0)
            assert share_at(rec, place)[layer].numpy() == pytest.approx(expected, abs=1e-6)


def test_one_word_has_no_neighbour() -> None:
    rec = record_text(MODEL, "cat")
    with pytest.raises(vitviz.VitvizError, match="One word has no neighbour"):
        share_at(rec, "previous")
    assert share_at(rec, "itself").shape == (6, 12)


def test_the_steps_on_a_photo_give_a_words_row_too() -> None:
    rec = record_text(MODEL, SENTENCES[0])
    call = rec.call(3)
    query, key, value = (x[0, 5] for x in (call.query, call.key, call.value))
    steps = attention_steps(query[4], key, value, call.scale)
    assert call.scale == pytest.approx(32**-0.5)
    assert torch.allclose(steps.weights, rec.attention(3)[5, 4], atol=1e-6)


def test_the_classifier_is_that_of_scikit_learn() -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(20, 8), dim=-1)
    classes = torch.arange(20) % 3 == 0
    found = train_classifier(vectors, classes)
    theirs = LogisticRegression(C=1 / PENALTY, tol=1e-8, max_iter=1000)
    theirs.fit(vectors.numpy(), classes.numpy())
    assert found.weights.numpy() == pytest.approx(theirs.coef_[0], abs=2e-3)
    assert found.bias == pytest.approx(float(theirs.intercept_[0]), abs=2e-3)
    expected = theirs.predict_proba(vectors.numpy())[:, 1]
    assert found.probabilities(vectors).numpy() == pytest.approx(expected, abs=1e-3)


def test_each_texts_vector_is_its_own() -> None:
    texts = [*SENTENCES, *SENTENCES[::-1]]  # at least two of each length
    for text, vector in zip(texts, text_vectors(MODEL, texts), strict=True):
        assert torch.allclose(record_text(MODEL, text).vector, vector, atol=1e-6)
