"""The text model is transformers' BERT, and its recorded attention is what that one computes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertModel

import vitviz
from vitviz.text.bert import Bert, renamed
from vitviz.text.files import WEIGHTS, model_file
from vitviz.text.model import TextModel
from vitviz.text.record import text_vectors

SENTENCE = "The quick brown fox jumps over the lazy dogs, doesn't it?"


@pytest.fixture(scope="module")
def model() -> TextModel:
    return vitviz.load_text_model()


def theirs(config: BertConfig) -> BertModel:
    config._attn_implementation = "eager"
    return BertModel(config, add_pooling_layer=False).eval()


def test_any_bert_of_transformers_computes_the_same() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=96, max_position_embeddings=16, layer_norm_eps=1e-12,
    )  # fmt: skip
    original = theirs(config)
    for norm in (part for part in original.modules() if isinstance(part, torch.nn.LayerNorm)):
        torch.nn.init.normal_(norm.weight)
    own = Bert(50, 24, 2, 3, 16)
    own.load_state_dict(renamed(original.state_dict()))
    numbers = torch.randint(50, (2, 9))
    with torch.no_grad():
        expected = original(numbers).last_hidden_state
        assert torch.allclose(own(numbers), expected, atol=1e-5)


def test_the_recorded_attention_is_that_of_transformers(model: TextModel) -> None:
    folder = model_file(WEIGHTS).parent
    original = theirs(BertConfig.from_pretrained(folder))
    original = BertModel.from_pretrained(
        folder, config=original.config, add_pooling_layer=False
    ).eval()
    rec = vitviz.record_text(model, SENTENCE)
    numbers = torch.tensor([[token.number for token in rec.tokens]])
    with torch.no_grad():
        expected = original(numbers, output_attentions=True)
    assert rec.num_layers == len(expected.attentions) == 6
    for layer, weights in enumerate(expected.attentions):
        assert rec.attention(layer).shape == (12, len(rec.tokens), len(rec.tokens))
        assert torch.allclose(rec.attention(layer), weights[0], atol=1e-5)
    states = expected.last_hidden_state[0]
    assert torch.allclose(rec.states, states, atol=1e-4)
    assert torch.allclose(rec.vector, F.normalize(states.mean(dim=0), dim=0), atol=1e-5)


def test_pieces_are_those_of_transformers_with_their_letters(model: TextModel) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(model_file(WEIGHTS).parent)
    for text in (SENTENCE, "Unbelievable photosynthesis", "Café – naïve?", "a" * 120, "wörld 42"):
        tokens = model.tokens(text)
        assert [token.number for token in tokens] == theirs(text)["input_ids"]
        for token in tokens:
            if token.is_known and not token.is_special and text.isascii():
                assert text[token.start : token.end].lower() == token.piece.removeprefix("##")
        assert [token.is_special for token in tokens] == [True, *[False] * (len(tokens) - 2), True]


def test_sentences_of_like_meaning_have_like_vectors(model: TextModel) -> None:
    groups = [
        ("A man is playing the guitar.", "Someone plays a guitar on the stage."),
        ("The stock market fell sharply.", "Shares lost much of their value."),
        ("She is baking a chocolate cake.", "A cake is being made in the oven."),
    ]
    found = text_vectors(model, [text for group in groups for text in group])
    assert torch.allclose(found.norm(dim=1), torch.ones(6), atol=1e-5)
    cosines = found @ found.T
    for text in range(6):
        others = [other for other in range(6) if other // 2 != text // 2]
        assert cosines[text, text ^ 1] > cosines[text, others].max() + 0.2


def test_recording_leaves_the_model_as_it_was(model: TextModel) -> None:
    before = vitviz.record_text(model, SENTENCE).states
    vitviz.record_text(model, "Something else.")
    assert torch.equal(vitviz.record_text(model, SENTENCE).states, before)
    assert not any(part.training for part in model.module.modules())
