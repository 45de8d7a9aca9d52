"""What the lesson on photos and words shows, against the library's own numbers."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
import torch
from lesson_pages import answer, opened
from streamlit.testing.v1 import AppTest
from visits import recording

import vitviz
from vitviz.text.captions import held_out, photo_in_words
from vitviz.text.contrastive import contrast_pairs
from vitviz.text.record import text_vectors
from vitviz.ui.lessons import captions as lesson
from vitviz.ui.lessons.captions import LIMITS, PAIRS
from vitviz.ui.visit.language import LANGUAGES, texts
from vitviz.ui.visit.order import NUMBERS
from vitviz.zoo.catalogue import BUNDLED

WORDS = texts("en")["captions"]


@pytest.fixture(scope="module")
def text() -> vitviz.TextModel:
    return vitviz.load_text_model()


def bars(app: AppTest) -> dict[str, float]:
    """The names and cosines of the last chart."""
    [data] = app.get("vega_lite_chart")[-1].proto.datasets
    table = pa.ipc.open_stream(data.data.data).read_pandas()
    return dict(zip(table["name"], table["alike"], strict=True))


def test_the_photo_is_compared_with_what_is_typed(text: vitviz.TextModel) -> None:
    app = opened("captions", step="1", sample="coffee")
    app.text_area(key="asked_words").set_value("espresso\n\na dog").run()
    photo = photo_in_words(recording(app))
    expected = (text_vectors(text, ["espresso", "a dog"]) @ photo).tolist()
    assert bars(app) == pytest.approx(
        dict(zip(["espresso", "a dog"], expected, strict=True)), abs=1e-5
    )
    app.text_area(key="asked_words").set_value(" ").run()
    assert app.info[0].value == WORDS["space"]["empty"]


def test_the_loss_of_the_batch_is_the_librarys_and_below_chance(text: vitviz.TextModel) -> None:
    app = opened("captions", step="2")
    answer(app, right=True)
    features, photos, found = lesson._batch(BUNDLED)
    assert features.shape == photos.shape == (8, 384)
    own = text_vectors(text, [words for *_, words in PAIRS])
    assert torch.allclose(found, own, atol=1e-5)
    for tau in (0.05, 0.5):
        app.select_slider(key="tau").set_value(tau).run()
        shown = {metric.label: metric.value for metric in app.metric}
        assert shown[WORDS["batch"]["loss"]] == f"{contrast_pairs(photos, found, tau).loss:.3f}"
        assert shown[WORDS["batch"]["chance"].format(count=8)] == f"{math.log(8):.3f}" == "2.079"
    assert contrast_pairs(photos, found, 0.05).loss < math.log(8)
    rows = contrast_pairs(photos, found, 0.05).texts_of_photos
    assert rows[0].argsort(descending=True)[:2].sort().values.tolist() == [0, 6]
    assert rows[0, 6] > 0.1  # text 6 fits photo 0 too


def test_training_lowers_the_loss_from_above_chance() -> None:
    app = opened("captions", step="3")
    losses = []
    for steps in (0, 5, 40):
        app.slider(key="tau_steps").set_value(steps).run()
        losses.append(float(app.metric[0].value))
    assert losses[0] > math.log(8) > losses[1] > losses[2]
    assert losses[2] < 0.5
    app.segmented_control(key="pairs_as").set_value("rows").run()
    assert not app.exception


def test_the_gallery_is_searched_by_words() -> None:
    app = opened("captions", step="4", caption="snowy mountains")
    found = bars(app)
    assert max(found, key=found.__getitem__) == "Mountains"
    assert len(found) == len(vitviz.samples())
    app.text_input(key="caption_field").set_value("espresso").run()
    assert app.query_params["caption"] == "espresso"
    assert max(bars(app), key=bars(app).__getitem__) == "Coffee"


def test_held_out_names_are_shown_beside_chance() -> None:
    app = opened("captions", step="6")
    found = held_out()
    shown = app.table[0].value
    cells = [str(cell) for cell in shown.to_numpy().flatten()]
    expected = [
        f"{share:.1%} (chance {chance:.1%})"
        for shares, count in ((found.among_held_out, 100), (found.among_all, 1000))
        for share, chance in zip(shares, (1 / count, 5 / count), strict=True)
    ]
    assert cells == expected
    assert f"{found.photos} photos of 100 held-out classes" in app.caption[-1].value
    assert set(bars(app)) <= set(found.classes)
    assert shown.index.tolist() == ["100 names", "1,000 names"]


def test_what_the_bars_of_held_out_names_say() -> None:
    app = opened("captions", step="6")
    classes, found = held_out().classes, bars(app)
    assert recording(app).predictions[0].label == "palace" in classes
    assert max(found, key=found.__getitem__) == "monastery"
    cat = opened("captions", step="6", sample="cat")
    assert not {p.label for p in recording(cat).predictions[:5]} & set(classes)
    assert max(bars(cat).values()) < 0.2 < 0.3 < max(found.values())


def test_what_the_guess_about_negation_says(text: vitviz.TextModel) -> None:
    app = opened("captions", step="7", sample="cat")
    answer(app, right=True)
    found = bars(app)
    assert set(found) == set(LIMITS)
    assert found["a cat"] > found["no cat"]
    assert found["no cat"] / found["a cat"] == pytest.approx(0.75, abs=0.03)
    [dog] = (text_vectors(text, ["a dog"]) @ photo_in_words(recording(app))).tolist()
    assert dog < 0.05


def test_words_that_cannot_be_read_are_refused_in_their_place() -> None:
    for step in ("4", "5", "8"):
        app = opened("captions", step=step)
        app.text_input(key="caption_field").set_value("  ").run()
        assert not app.exception
        assert [error.value for error in app.error] == [
            "There is no word in this text; type a sentence."
        ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_lesson_without_words_points_here(language: str) -> None:
    assert str(NUMBERS["captions"]) in texts(language)["beyond"]["texts"]["text"]
    assert "No text is involved" in texts("en")["beyond"]["texts"]["text"]
