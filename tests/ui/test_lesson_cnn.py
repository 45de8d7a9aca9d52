"""What the lesson on convolutional networks shows, against the models and their cards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from lesson_pages import answer, chart, metrics, opened
from streamlit.testing.v1 import AppTest
from torch import nn
from visits import recording

import vitviz
from vitviz.inside.accuracies import CHANGED, CHANGED_PHOTOS, MEASURED, PUBLISHED
from vitviz.inside.convolution import (
    effective_field,
    effective_width,
    looking_layers,
    receptive_fields,
)
from vitviz.interventions.squares import cut_square, hide_pieces, predict_square, wide_square
from vitviz.ui.visit.language import texts
from vitviz.zoo.catalogue import BUNDLED, COUNTERPART

WORDS = texts("en")["cnn"]
ROOT = Path(__file__).parents[2]
SAMPLES = {sample.id: sample.path for sample in vitviz.samples()}


@pytest.fixture(scope="module")
def cnn() -> vitviz.Vit:
    return vitviz.load_model(COUNTERPART)


@pytest.fixture(scope="module")
def fields(cnn: vitviz.Vit) -> list[tuple[str, int]]:
    return receptive_fields(looking_layers(cnn.module))


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption)


def test_the_filters_are_few_numbers(cnn: vitviz.Vit) -> None:
    app = opened("cnn", step="1")
    first = next(m for m in cnn.module.modules() if isinstance(m, nn.Conv2d))
    assert first.bias is None
    assert metrics(app) == ["864", "225,792"]
    assert first.weight.numel() == 32 * 3 * 3 * 3 == 864
    assert recording(app).vit.anatomy.patch_projection.weight.numel() == 384 * 588 == 225_792
    app.slider(key="filter").set_value(2).run()  # its weights are nearly 0
    assert not app.exception


def test_both_disagree_about_the_first_answer_and_find_the_same_things(cnn: vitviz.Vit) -> None:
    app = opened("cnn", step="2")
    rec = recording(app)
    photo = vitviz.load_image(SAMPLES["cat-and-coffee"])
    found = vitviz.predict(cnn, photo)
    assert (rec.predictions[0].label, found[0].label) == ("Egyptian cat", "espresso")
    bars = [part.proto.body for part in app.get("html") if "predictions" in part.proto.body]
    assert f"<b>{rec.predictions[0].probability:.1%}</b>" in bars[0]
    assert f"<b>{found[0].probability:.1%}</b>" in bars[1]
    assert "CNN, Grad-CAM for “Egyptian cat”" in str(app.get("image")[1].proto)
    app.selectbox(key="of_class").set_value("espresso").run()
    assert "ViT, relevance for “espresso”" in str(app.get("image")[0].proto)
    for name, half in (("Egyptian cat", 0), ("espresso", 1)):
        heats = vitviz.explain(rec, "relevance", target=name), vitviz.cnn_gradcam(cnn, photo, name)
        for heat in heats:
            cols = heat.values.shape[1] // 2
            left, right = heat.values[:, :cols].sum(), heat.values[:, cols:].sum()
            assert (left, right)[half] > 2 * (left, right)[1 - half]


def test_the_receptive_field_passes_the_input_after_13_of_22_layers(
    fields: list[tuple[str, int]],
) -> None:
    app = opened("cnn", step="3")
    answer(app, right=True)
    widths = [width for _, width in fields]
    assert chart(app)["width"] == widths
    assert (len(widths), widths[0], widths[1]) == (22, 3, 7)
    assert (widths[11], widths[12], widths[-1]) == (219, 283, 1115)
    assert recording(app).pixels.shape[-1] < 260 < widths[12]


def test_the_gradient_is_near_in_the_cnn_and_wide_in_the_vit(
    fields: list[tuple[str, int]],
) -> None:
    app = opened("cnn", step="4", sample="coffee", in_layer="0", patch="8,8")
    rec = recording(app)
    token = 1 + 8 * 16 + 8
    vits = effective_field(rec.vit, rec.pixels, "blocks.0", lambda tokens: tokens[0, token])
    vit, near, theory = (int(value.removesuffix(" px")) for value in metrics(app))
    assert vit == round(effective_width(vits, 0.9)) > 100
    assert theory == fields[1][1] == 7
    assert near < theory
    own = vits[8 * 14 : 9 * 14, 8 * 14 : 9 * 14].sum() / vits.sum()
    assert 0.4 < own < 0.6
    assert f"{effective_width(torch.ones(224, 224), 0.9):.0f} for the ViT" in captions(app)
    nears = [near]
    for layer in (3, 6, 9):
        app.slider(key="in_layer").set_value(layer).run()
        _, near, theory = (int(value.removesuffix(" px")) for value in metrics(app))
        assert theory == fields[round((layer + 1) / 12 * 22) - 1][1] > near > nears[-1]
        nears.append(near)


def test_a_changed_square_is_what_the_library_makes_of_it(cnn: vitviz.Vit) -> None:
    app = opened("cnn", step="6", sample="cat")
    rec = recording(app)
    square = cut_square(wide_square(vitviz.load_image(SAMPLES["cat"])))
    hidden = hide_pieces(square, 14, 0.5, torch.Generator().manual_seed(0))
    bars = [part.proto.body for part in app.get("html") if "predictions" in part.proto.body]
    for body, vit in zip(bars, (rec.vit, cnn), strict=True):
        found = predict_square(vit, hidden)[0]
        assert body.index(found.label) < body.index(f"<b>{found.probability:.1%}</b>")
    assert predict_square(rec.vit, hidden)[0].label == "Egyptian cat"
    assert "Still “Egyptian cat”" in captions(app)
    app.select_slider(key="hidden").set_value(0.9).run()
    assert "No longer “Egyptian cat”" in captions(app)


def test_shuffling_and_the_task_run_both_networks() -> None:
    app = opened("cnn", step="5", sample="photographer")
    answer(app, right=True)
    assert captions(app).count("No longer “tripod”") == 2
    app.select_slider(key="piece").set_value(112).run()
    assert captions(app).count("Still “tripod”") == 2
    [again] = [b for b in app.button if b.label == texts("en")["positions"]["shuffle"]["again"]]
    again.click().run()
    assert not app.exception
    app = opened("cnn", step="9", sample="photographer")
    assert captions(app).count("Still “tripod”") == 2
    app.select_slider(key="task_hidden").set_value(0.75).run()
    assert captions(app).count("Still “tripod”") == 1  # the ViT's
    assert captions(app).count("No longer “tripod”") == 1


def test_a_shift_changes_neither_much() -> None:
    app = opened("cnn", step="7", sample="photographer")
    answer(app, right=True)
    shown = chart(app)
    assert shown["moved"] == [*range(0, 15, 2)] * 2
    assert min(shown["probability"]) > 0.8
    assert "“tripod” in the ViT, “tripod” in the CNN" in captions(app)


def test_measured_shares_are_those_of_the_cards() -> None:
    page = (ROOT / "docs" / "bundled-models.md").read_text()
    said = {"shuffled": "patches shuffled", "hidden": "half of the patches hidden"}
    said["shifted"] = "shifted by one patch"
    for change, found in CHANGED.items():
        row = rf"\| {said[change]}: same answer, % \| ([\d.]+) \(.+?\) \| ([\d.]+) \("
        assert re.search(row, page).groups() == (f"{found.vit:.1f}", f"{found.cnn:.1f}")
    assert f"{CHANGED_PHOTOS} photos" in page
    card = (ROOT / "vitviz" / "data" / "models" / BUNDLED / "README.md").read_text()
    for each in MEASURED:
        for name, share in ((BUNDLED, each.vit), (COUNTERPART, each.cnn)):
            assert f"| {each.source} | {each.photos:,} | {name} | {share:.1f} (" in card


def test_the_table_says_what_the_words_say() -> None:
    app = opened("cnn", step="8")
    here, published = (table.value for table in app.table)
    assert here["ViT"].tolist() == ["50.2%", "81.5%", "83.5%"]
    sharp, easy, dogs = here.index
    assert sharp == "1,000, sharp, of about 430 classes"
    assert easy.startswith("200 of ten")
    assert dogs.startswith("200 of ten")
    assert len(published) == len(PUBLISHED)
    top = {found.model: found.top1 for found in PUBLISHED}
    assert top["ViT-B/16"] < top["DeiT-S"] < top["ConvNeXt-T"]
    assert top["ResNet-152×4 (BiT-L)"] < top["ViT-H/14"]
    assert all(found.source for found in PUBLISHED)
