"""What the lesson on words shows, against the text model's own numbers."""

from __future__ import annotations

import json

import pytest
import torch
from lesson_pages import answer, opened, run_page
from pages import at
from streamlit.testing.v1 import AppTest
from visits import recording, visit

import vitviz
from vitviz.text import files
from vitviz.text.record import text_vectors
from vitviz.text.sentences import train_classifier
from vitviz.ui.course import words as course_words
from vitviz.ui.lessons.words import BASE, GLAD, HARD, HELD_OUT, OTHERS, SAD
from vitviz.ui.visit.language import LANGUAGES, texts

WORDS = texts("en")["words"]


@pytest.fixture(scope="module")
def model() -> vitviz.TextModel:
    return vitviz.load_text_model()


@pytest.fixture(autouse=True)
def _light(light: None) -> None:
    """The photo's model has no say in what is shown of words."""


def test_the_pieces_are_the_tokenizers(model: vitviz.TextModel) -> None:
    app = opened("words", step="1", sentence="Tokenizers cut 🐈 words.")
    table = app.dataframe[0].value
    tokens = model.tokens("Tokenizers cut 🐈 words.")
    assert table[WORDS["pieces"]["piece"]].tolist() == [token.piece for token in tokens]
    assert table[WORDS["pieces"]["number"]].tolist() == [token.number for token in tokens]
    assert table[WORDS["pieces"]["part"]].tolist()[1:3] == ["Token", "izer"]
    assert "🐈" in app.warning[0].value
    assert app.caption[-1].value.startswith(f"{len(tokens)} tokens.")


def test_the_rare_word_that_is_named_becomes_pieces(model: vitviz.TextModel) -> None:
    assert "photosynthesis" in WORDS["pieces"]["text"]
    pieces = [token.piece for token in model.tokens("photosynthesis")]
    assert pieces == ["[CLS]", "photos", "##yn", "##thesis", "[SEP]"]


def test_the_formula_gives_the_recorded_weight(model: vitviz.TextModel) -> None:
    app = opened("words", step="3", sentence=BASE, word_layer="2", word_head="7")
    app.selectbox(key="word").set_value(4).run()
    rec = vitviz.record_text(model, BASE)
    weights = rec.attention(2)[7, 4]
    shown = app.dataframe[0].value
    order = weights.argsort(descending=True)[:3].tolist()
    assert shown[WORDS["pieces"]["piece"]].tolist() == [rec.tokens[i].piece for i in order]
    assert shown["weight"].tolist() == pytest.approx(weights[order].tolist(), abs=1e-6)
    assert f"a = {weights.max():.4f}" in app.latex[-1].value
    assert r"\sqrt{32}" in app.latex[-1].value


def test_the_two_heads_are_found_and_the_guess_is_true(model: vitviz.TextModel) -> None:
    app = opened("words", step="4")
    answer(app, right=True)
    assert "**layer 0, head 2**, with **99.9" in app.markdown[-1].value
    app.segmented_control(key="looks_at").set_value("next").run()
    assert "**layer 1, head 8**" in app.markdown[-1].value
    rec = vitviz.record_text(model, WORDS["example"])
    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    assert spec["encoding"]["x"]["title"] == "Head"
    assert rec.num_layers * rec.num_heads(0) == 72


def test_a_negation_is_nearer_than_a_paraphrase(model: vitviz.TextModel) -> None:
    """What the guess says."""
    found = text_vectors(model, [BASE, *OTHERS])
    kitten, negation, turned, bank = (found[1:] @ found[0]).tolist()
    assert negation > kitten > bank
    assert turned > negation
    assert bank < 0.1


def test_the_classifier_is_trained_on_what_is_typed(model: vitviz.TextModel) -> None:
    app = opened("words", step="6")
    known = text_vectors(model, [*SAD, *GLAD])
    trained = train_classifier(known, torch.arange(20) >= 10)
    assert ((trained.probabilities(known) > 0.5) == (torch.arange(20) >= 10)).all()

    def right(asked: tuple[tuple[str, bool], ...]) -> list[bool]:
        shares = trained.probabilities(text_vectors(model, [text for text, _ in asked]))
        return [bool(share > 0.5) == glad for share, (_, glad) in zip(shares, asked, strict=True)]

    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics[WORDS["sentiment"]["held_out"]] == f"{sum(right(HELD_OUT))} / 10" == "8 / 10"
    assert metrics[WORDS["sentiment"]["chance"]] == "5 / 10"
    assert right(HARD) == [True, False, False, False]  # as the words beside it say
    marks = app.dataframe[0].value[WORDS["sentiment"]["is_right"]].tolist()
    assert marks == ["✓", "✗", "✗", "✗"]

    app.text_area(key="sentences_sad").set_value("\n".join(GLAD))
    app.text_area(key="sentences_glad").set_value("\n".join(SAD)).run()
    [turned] = [m.value for m in app.metric if m.label == WORDS["sentiment"]["held_out"]]
    assert turned == "2 / 10"
    app.text_area(key="sentences_sad").set_value(" \n ").run()
    assert app.info[0].value == WORDS["sentiment"]["both"]
    assert not app.metric


def test_the_task_finds_the_strongest_head(model: vitviz.TextModel) -> None:
    app = opened("words", step="7", sentence=BASE)
    app.selectbox(key="word").set_value(5)
    app.selectbox(key="other_word").set_value(2).run()
    rec = vitviz.record_text(model, BASE)
    shares = torch.stack([rec.attention(layer)[:, 5, 2] for layer in range(6)])
    layer, head = divmod(int(shares.argmax()), 12)
    said = app.markdown[-1].value
    assert f"**layer {layer}, head {head}**, with **{shares.max():.1%}**" in said


def test_the_task_opens_on_the_word_that_stands_for_another() -> None:
    app = opened("words", step="7")
    assert app.markdown[-1].value.startswith("Most attention from `it` to `cat`: ")


def test_the_sentence_goes_with_the_visitor_from_step_to_step() -> None:
    app = opened("words", step="1")
    app.text_input(key="sentence_field").set_value("Dogs bark.").run()
    app.button(key="next").click().run()
    assert app.text_input(key="sentence_field").value == "Dogs bark."
    app.slider(key="word_layer").set_value(3).run()
    app.button(key="next").click().run()
    assert (visit(app).sentence, app.slider(key="word_layer").value) == ("Dogs bark.", 3)
    assert recording(app).derived.last("text").text == "Dogs bark."


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_cannot_be_read_is_said_where_it_was_typed(language: str) -> None:
    app = opened("words", step="1", lang=language)
    app.text_input(key="sentence_field").set_value("   ").run()
    assert not app.exception
    english = "There is no word in this text; type a sentence."
    said = english if language == "en" else texts(language)["library"]["errors"]["text_empty"]
    assert [error.value for error in app.error] == [said]


@pytest.mark.parametrize("step", range(1, 8))
def test_without_the_text_model_the_lesson_says_what_to_install(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise files.not_installed()

    monkeypatch.setattr(course_words, "text_model", missing)
    app = at(AppTest.from_function(run_page, args=("words",), default_timeout=300), step=str(step))
    answer(app, right=True)
    [error] = app.error
    assert error.value == str(files.not_installed())


def test_the_sentences_of_the_classifier_are_as_many_as_the_words_say() -> None:
    assert len(SAD) == len(GLAD) == 10
    assert sum(glad for _, glad in HELD_OUT) == 5
    assert not {*SAD, *GLAD} & {text for text, _ in (*HELD_OUT, *HARD)}
