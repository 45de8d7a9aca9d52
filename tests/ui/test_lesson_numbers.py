"""What each lesson shows, against the model's own numbers."""

from __future__ import annotations

import itertools
import json
import re
from urllib.parse import parse_qs

import numpy as np
import pytest
import torch
from lesson_pages import LESSONS, answer, opened
from torch.nn.functional import cosine_similarity
from visits import recording, session, visit

import vitviz
from vitviz.inside.attention_steps import head_steps
from vitviz.inside.features import foreground, patch_features, principal_components
from vitviz.inside.heads import head_importance
from vitviz.inside.lens import logit_lens, residual_stream
from vitviz.inside.positions import with_patches, without_positions
from vitviz.inside.tokens import patch_pixels, patch_vectors
from vitviz.measures.faithfulness import deletion
from vitviz.methods.artefacts import attention_sinks
from vitviz.training.augmentation import random_crops
from vitviz.training.plan import hold_out
from vitviz.training.trained_part import frozen_part
from vitviz.training.training import start
from vitviz.ui.course.album_editor import READY_MADE
from vitviz.ui.course.training_run import HEAD_PLAN
from vitviz.ui.course.worksheet import worksheet
from vitviz.ui.lessons.attention import DIVISORS
from vitviz.ui.lessons.prediction import STEPS
from vitviz.ui.lessons.tokens import BLUE
from vitviz.ui.visit.language import LANGUAGES, texts


def test_tokens_shows_the_models_own_numbers() -> None:
    app = opened("tokens", step="4", sample="coffee", patch="3,7")
    rec: vitviz.Recording = recording(app)
    with torch.no_grad():
        first = float(rec.vit.module.patch_embed(rec.pixels[None])[0, 3, 7, 0])
    assert r"x_{0} &= \textstyle\sum_{m=0}^{587} W_{0,m}\,p_m + b_{0}" in app.latex[-1].value
    assert f"= {first:.4f}" in app.latex[-1].value
    assert float(patch_vectors(rec)[3, 7, 0]) == pytest.approx(first)


def test_tokens_opens_on_negative_numbers() -> None:
    """The text says why there are some."""
    rec = recording(opened("tokens", step="2"))
    of_blue = patch_pixels(rec, (8, 8))[BLUE]
    assert 0.25 < float((of_blue < -0.05).float().mean()) < 0.9


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answers_of_attention_print_the_results_of_its_example(language: str) -> None:
    blanks, answers = (
        worksheet(LESSONS["attention"], answers=a, tongue=language) for a in (False, True)
    )
    # q·k = 4, 2, 2; halved 2, 1, 1; e^2 / (e^2 + 2e) = 1 / (1 + 2/e)
    for result in ("k_1 = 4&", "= 2&", "= 0.5761&", "= 0.7881&"):
        shown = result.replace("&", '"')
        assert shown in answers
        assert shown not in blanks


@pytest.mark.usefixtures("light")
def test_training_shows_what_the_library_trained() -> None:
    app = opened("training", step="5", sample="cat")
    app.button(key="train").click().run()
    assert texts("en")["training"]["run"]["one_class"] in [w.value for w in app.warning]
    app.button(key="take").click().run()
    app.button(key="train").click().run()
    assert not app.exception
    photos = {sample.id: vitviz.load_image(sample.path) for sample in vitviz.samples()}
    vit: vitviz.Vit = recording(app).vit
    crops = [c for seed, name in enumerate(READY_MADE) for c in random_crops(photos[name], 5, seed)]
    inputs = frozen_part(vit, [vit.transform(crop) for crop in crops])
    targets = torch.arange(3).repeat_interleave(5)
    kept, held_out = hold_out([5, 5, 5])
    _, training = start(vit, list(READY_MADE), inputs[kept], targets[kept], HEAD_PLAN)
    moments = [training.step() for _ in range(HEAD_PLAN.steps)]
    shown = {metric.label: metric.value for metric in app.metric}
    words = texts("en")["training"]["run"]
    assert float(shown[words["last_loss"]]) == pytest.approx(moments[-1].loss, abs=2e-4)
    assert shown[words["accuracy"]] == f"{moments[-1].accuracy:.0%}"
    right = training.accuracy(inputs[held_out], targets[held_out])
    assert shown[words["held_out"]] == f"{right:.0%}"

    app.button(key="next").click().run()
    answer(app, right=True)
    assert app.metric[0].value == "0"  # the head alone leaves attention exactly as it was
    run = visit(app).trained
    best = vitviz.record(run.vit, photos["cat"]).predictions[0]
    shown_best = f"{words[READY_MADE[best.index]]} · {best.probability:.1%}"
    assert any(shown_best in text.value for text in app.markdown)
    app.button(key="next").click().run()
    app.slider(key="lambda").set_value(3.0).run()
    app.button(key="narrow").click().run()
    assert not app.exception
    first, last = (float(metric.value) for metric in app.metric)
    assert last < first
    assert all(p.requires_grad and p.grad is None for p in vit.module.parameters())


def test_training_keeps_what_is_right_when_a_file_is_broken() -> None:
    app = opened("training", step="5", sample="cat")
    good = vitviz.samples()[0].path.read_bytes()
    files = [("a.jpg", good, "image/jpeg"), ("b.jpg", b"no photo", "image/jpeg")]
    app.get("file_uploader")[-1].set_value(files).run()
    assert not app.exception
    album = visit(app).album
    assert len(album.photos[0]) == 1
    assert any("b.jpg" in warning.value for warning in app.warning)
    app.segmented_control(key="edited").set_value(1).run()
    app.get("file_uploader")[-1].set_value([files[0]] * 3).run()
    app.button(key="train").click().run()
    assert any("at least 3" in warning.value for warning in app.warning)
    assert visit(app).trained is None
    assert [len(photos) for photos in album.photos[:2]] == [1, 3]


@pytest.mark.usefixtures("light")
def test_training_speaks_the_language_of_the_moment() -> None:
    app = opened("training", step="5", sample="cat", lang="en")
    app.button(key="take").click().run()
    app.button(key="train").click().run()
    app.segmented_control(key="edited").set_value(3).run()
    app.get("file_uploader")[-1].set_value([("b.jpg", b"no photo", "image/jpeg")]).run()
    [said] = [warning.value for warning in app.warning]
    app.button(key="to_zh").click().run()
    assert app.session_state["edited"] == 3
    [now] = [warning.value for warning in app.warning]
    assert now != said
    assert re.search("`b.jpg`: .*[\u4e00-\u9fff]", now)
    words = texts("zh")["training"]["run"]
    ready = [words[name] for name in READY_MADE]
    assert app.dataframe[0].value["class"].tolist() == ready
    assert all(f"`{name}` 5" in app.main.caption[-1].value for name in ready)
    app.segmented_control(key="edited").set_value(1).run()
    app.text_input[-1].set_value("Mug").run()
    assert visit(app).album.names[1].typed == "Mug"
    assert app.dataframe[0].value["class"].tolist() == ready  # that run was before


def test_tokens_cuts_otherwise() -> None:
    app = opened("tokens", step="6")
    answer(app, right=True)
    app.slider(key="side").set_value(448).run()
    app.segmented_control(key="patch_size").set_value(32).run()
    assert [metric.value for metric in app.metric] == ["197", "38,809"]  # 14 × 14 + 1
    [picture] = app.get("image")
    assert "14 × 14 = 196" in str(picture.proto)


def test_positions_shows_the_runs_of_the_model() -> None:
    app = opened("positions", step="7", sample="coffee")
    answer(app, right=True)
    rec = recording(app)
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    bare = without_positions(rec)
    assert (
        app.metric[0].value == f"{(with_patches(bare, order).logits - bare.logits).abs().max():.6f}"
    )
    [left, right] = [e.proto.body for e in app.get("html") if "<ol" in e.proto.body]
    assert f"<b>{bare.predictions[0].probability:.1%}</b>" in left
    assert left == right


def test_attention_shows_the_heads_own_numbers() -> None:
    app = opened("attention", step="4", sample="coffee", patch="3,7", in_layer="5", in_head="2")
    rec = recording(app)
    weights = rec.attention_row(5, (3, 7))[2]
    assert f"= {weights.max():.4f}" in app.latex[-1].value
    app_2 = opened("attention", step="2", sample="coffee", patch="3,7", in_layer="5", in_head="2")
    query, keys = rec.layers[5].query[0, 2, 1 + 3 * 16 + 7], rec.layers[5].key[0, 2]
    assert f"= {(keys @ query).max():.4f}" in app_2.latex[-1].value
    assert app.metric[0].value == "1.0000"
    assert app.metric[1].value == f"{weights[0]:.1%}"
    assert app.dataframe[0].value["weight"].max() == pytest.approx(float(weights.max()))


@pytest.mark.parametrize(
    ("field", "answer", "said"),
    [
        ("product", 4.0, "right"),
        ("score", 4.0, "not_scaled"),
        ("score", 1.0, "by_d"),
        ("weight", 0.58, "right"),
        ("weight", 0.79, "not_scaled"),
        ("weight", 0.5, "no_softmax"),
        ("weight", 0.1, "again"),
        ("output", 0.79, "right"),
        ("output", 0.67, "unweighted"),
    ],
)
def test_attention_explains_a_wrong_answer(field: str, answer: float, said: str) -> None:
    app = opened("attention", step="6")
    app.number_input(key=f"hand_{field}").set_value(answer).run()
    [shown] = [*app.success, *app.warning]
    assert shown.value == texts("en")["attention"]["by_hand"][said]


def test_attention_concentrates_as_its_words_say() -> None:
    """Undivided, on a few tokens; at last on one."""
    rec = recording(opened("attention", step="3"))
    undivided, least = (
        head_steps(rec, 5, 1, (8, 8), divisor=divisor).weights for divisor in (1, DIVISORS[0])
    )
    assert undivided.max() < 0.7
    assert undivided.topk(3).values.sum() > 0.99
    assert least.max() > 0.95


def test_attention_opens_on_a_map_with_both_signs() -> None:
    """The text says that blue is negative."""
    app = opened("attention", step="2")
    products = head_steps(recording(app), 5, 1, (8, 8)).products
    assert f"{products.max():.4f}" in app.latex[-1].value
    above = float((recording(app).patches(products) > 0).float().mean())
    assert 0.25 < above < 0.75


def foreground_in(name: str, rows: slice, cols: slice) -> tuple[float, float]:
    """Of a sample's foreground, the share in a box, and the share of the box that is foreground."""
    path = next(sample.path for sample in vitviz.samples() if sample.id == name)
    positions, _ = principal_components(patch_features(vitviz.record(vitviz.load_model(), path)), 1)
    found = foreground(positions[..., 0])
    inside = found[rows, cols]
    return float(inside.sum() / found.sum()), float(inside.float().mean())


def test_beyond_opens_where_the_foreground_is_found() -> None:
    """The boxes were read off the photos: around the man, and in the middle of the cat's face."""
    app = opened("beyond", step="2")
    assert session(app).photo.name == "photographer"
    within, _ = foreground_in("photographer", slice(2, 16), slice(0, 12))
    assert within > 0.95
    assert foreground_in("photographer", slice(6, 12), slice(2, 9))[1] > 0.95
    assert foreground_in("cat", slice(5, 13), slice(4, 12))[1] < 0.3
    app.segmented_control(key="step").set_value(3).run()
    assert session(app).photo.name == "cat"
    app.query_params["sample"] = "coffee"  # who has chosen a photo keeps it
    app.segmented_control(key="step").set_value(2).run()
    assert session(app).photo.name == "coffee"


def test_layers_shows_what_is_far_below_one_percent() -> None:
    app = opened("layers", step="4")
    answer(app, right=True)
    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    assert spec["encoding"]["y"]["scale"]["type"] == "log"
    lens = logit_lens(recording(app), residual_stream(recording(app))).softmax(dim=-1)
    best = recording(app).predictions[0].index
    assert (lens[:9, best] < 0.01).all()  # on a linear axis all of these lie on its line
    lines = spec["encoding"]["y"]["axis"]["values"]
    assert [high / low for low, high in itertools.pairwise(lines)] == pytest.approx(
        [100] * (len(lines) - 1)  # as the text says
    )
    assert lines[0] < 100 * lens[:, best].min()  # all the way down


@pytest.mark.parametrize(("step", "most"), [("1", 0.1), ("2", 0.1)])
def test_layers_shows_what_grows_a_hundredfold_on_powers(step: str, most: float) -> None:
    """On a linear axis the first half of the layers would lie on its line."""
    app = opened("layers", step=step)
    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    assert spec["encoding"]["y"]["scale"]["type"] == "log"
    lines = spec["encoding"]["y"]["axis"]["values"]
    assert [high / low for low, high in itertools.pairwise(lines)] == pytest.approx(
        [10] * (len(lines) - 1)  # as the text says
    )
    found = residual_stream(recording(app))
    for part in (found.states,) if step == "1" else (found.attention, found.mlp):
        lengths = part[:, 0].norm(dim=-1)
        assert (lengths[:6] < most * lengths.max()).all()
        assert (lengths > 0).all()


@pytest.mark.parametrize(
    ("lesson", "step", "kind"), [("layers", "2", "part"), ("matrix", "6", "matrix")]
)
def test_lines_are_told_apart_by_dashes_in_one_order_in_every_language(
    lesson: str, step: str, kind: str
) -> None:
    for lang in ("en", "zh"):
        app = opened(lesson, step=step, lang=lang)
        spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
        dashes = spec["encoding"]["strokeDash"]
        assert dashes["field"] == kind
        words = texts(lang)[lesson]
        said = words["mlp"] if lesson == "layers" else words["gradients"]
        names = ("attention", "mlp") if lesson == "layers" else ("queries", "keys", "values")
        assert dashes["scale"]["domain"] == [said[name] for name in names]


def test_manyheads_links_to_the_head_that_it_names() -> None:
    app = opened("manyheads", step="7", sample="coffee", patch="5,7")
    rec = recording(app)
    rows = torch.stack([rec.attention_row(layer) for layer in range(rec.num_layers)])
    best = rows[..., 1 + 5 * 16 + 7]
    layer, head = divmod(int(best.argmax()), best.shape[1])
    [link] = app.get("page_link")
    assert link.proto.page == "explore"
    assert parse_qs(link.proto.query_string) == {
        "sample": ["coffee"],
        "attention_layer": [str(layer)],
        "attention_head": [str(head)],
    }


def test_manyheads_adds_up_to_the_layers_output() -> None:
    app = opened("manyheads", step="4", sample="coffee", patch="3,7", in_layer="5")
    rec = recording(app)
    out: list[torch.Tensor] = []
    attention = rec.vit.module.blocks[5].attn
    hook = attention.register_forward_hook(lambda *called: out.append(called[-1]))
    with torch.no_grad():
        rec.vit.module(rec.pixels[None])
    hook.remove()
    expected = float(out[0][0, rec.num_prefix_tokens + 3 * 16 + 7, 0])
    shown = app.latex[-1].value.rsplit("= ", 1)[1].split("\\end")[0]
    assert float(shown) == pytest.approx(expected, abs=1e-4)


def test_manyheads_names_the_head_that_matters_most_to_the_cat() -> None:
    app = opened("manyheads", step="5", sample="cat")
    answer(app, right=True)
    rec = recording(app)
    changes = {at: -float(drop) for at, drop in np.ndenumerate(head_importance(rec).heads)}
    assert max(changes, key=lambda head: abs(changes[head])) == (3, 4)  # as the text says
    assert sum(abs(change) < 0.05 for change in changes.values()) > len(changes) / 2
    assert -0.05 < changes[5, 1] < 0  # it opens on a typical one, which speaks for the answer
    assert max(changes, key=lambda head: changes[head]) == (11, 0)  # and this one against it
    assert f"{100 * changes[5, 1]:+.1f} percentage points" in app.caption[-1].value
    app.slider(key="in_layer").set_value(3).run()
    app.slider(key="in_head").set_value(4).run()
    assert f"{100 * changes[3, 4]:+.1f} percentage points" in app.caption[-1].value


def test_manyheads_cuts_a_layer_into_other_heads() -> None:
    app = opened("manyheads", step="6", sample="coffee", patch="3,7")
    rec = recording(app)
    app.select_slider(key="heads_of_width").set_value(12).run()
    assert not app.exception
    assert [metric.value for metric in app.metric] == ["32", "12", f"{12 * 257**2:,}"]
    assert rec.num_heads(6) == 6


def test_layers_shows_the_stream_and_ends_with_the_prediction() -> None:
    app = opened("layers", step="1", sample="coffee", in_layer="4")
    rec = recording(app)
    after = float(residual_stream(rec).states[5, 0, 0])
    assert f"= {after:.4f}" in app.latex[-1].value
    app = opened("layers", step="4", sample="coffee")
    answer(app, right=True)
    last = app.dataframe[0].value.iloc[-1]
    assert last.iloc[1] == "espresso"
    assert last.iloc[2] == pytest.approx(100 * rec.predictions[0].probability, rel=1e-3)  # %


def test_prediction_shows_the_models_logit() -> None:
    app = opened("prediction", step="1", sample="coffee", of_class="soup bowl")
    rec = recording(app)
    index = next(p.index for p in rec.predictions if p.label == "soup bowl")
    shown = float(app.latex[-1].value.rsplit("= ", 1)[1].split("\\end")[0])
    assert shown == pytest.approx(float(rec.logits[index]), abs=2e-4)
    app = opened("prediction", step="2", sample="coffee")
    answer(app, right=True)
    app.slider(key="added").set_value(3.0).run()
    assert f"= {rec.predictions[0].probability:.4f}" in app.latex[-1].value


def test_prediction_judges_by_deletion() -> None:
    app = opened("prediction", step="5", sample="cat", of_class="Egyptian cat")
    answer(app, right=True)
    [button] = [b for b in app.button if b.label == texts("en")["prediction"]["judge"]["measure"]]
    button.click().run()
    rec = recording(app)
    index = next(p.index for p in rec.predictions if p.label == "Egyptian cat")
    maps = [vitviz.explain(rec, "attention"), vitviz.explain(rec, "relevance", target=index)]
    areas = [deletion(rec, heat, index, steps=STEPS).area for heat in maps]
    assert [metric.value for metric in app.metric] == [f"{area:.3f}" for area in areas]
    assert areas[0] > 1.5 * areas[1]  # as the task says
    assert "**Relevance**" in app.markdown[-1].value


@pytest.mark.usefixtures("light")
def test_cost_measures_this_machine() -> None:
    app = opened("cost", step="1")
    answer(app, right=True)
    [button] = [b for b in app.button if b.label == texts("en")["cost"]["timing"]["run"]]
    button.click().run()
    assert not app.exception
    first = app.table[0].value.T
    assert first["Tokens"].tolist() == [f"{n * n + 1:,}" for n in (8, 12, 16, 24, 32, 40)]
    assert (first["Seconds"].map(float) > 0).all()
    [button] = [b for b in app.button if b.label == texts("en")["cost"]["timing"]["again"]]
    button.click().run()
    assert not app.exception
    assert app.table[0].value.T["Seconds"].tolist() != first["Seconds"].tolist()


def test_beyond_matches_a_photo_with_itself() -> None:
    app = opened("beyond", step="4", sample="coffee", other="coffee", patch="3,7")
    answer(app, right=True)
    assert app.caption[-1].value == "Best match: row 3, column 7, cosine 1.000."
    [photo] = [part for part in app.get("bidi_component") if "match maps" in part.proto.id]
    shown = json.loads(photo.proto.json)
    assert shown["marks"] == [[3, 7]]
    features = patch_features(recording(app))
    cosines = cosine_similarity(features[3, 7], features, dim=-1)
    assert shown["scale"] == pytest.approx([max(0, float(cosines.min())), 1], abs=1e-5)


def test_beyond_takes_a_second_photo_of_the_visitors_own() -> None:
    app = opened("beyond", step="4", sample="coffee", patch="3,7")
    answer(app, right=True)
    files = app.get("file_uploader")
    files[-1].set_value(("none.jpg", b"no photo", "image/jpeg")).run()
    assert not app.exception
    assert any("none.jpg" in error.value for error in app.error)
    photo = next(sample for sample in vitviz.samples() if sample.id == "coffee")
    app.get("file_uploader")[-1].set_value(("mine.jpg", photo.path.read_bytes(), "image/jpeg"))
    app.run()
    assert not app.exception
    assert not app.error
    words = texts("en")["beyond"]["match"]
    [shown] = [box.value for box in app.selectbox if box.label == words["other"]]
    assert shown == "own"
    assert app.caption[-1].value == "Best match: row 3, column 7, cosine 1.000."
    [remove] = [button for button in app.button if button.label == texts("en")["photo"]["remove"]]
    remove.click().run()
    assert not app.exception
    assert "cosine 1.000" not in app.caption[-1].value
    assert visit(app).second is None


def test_cost_tells_artefact_tokens_from_attention_sinks() -> None:
    app = opened("cost", step="5", sample="cat")
    rec = recording(app)
    [photo] = [part for part in app.get("bidi_component") if "lesson_photo" in part.proto.id]
    shown = json.loads(photo.proto.json)
    assert shown["marks"] == []
    assert shown["crosses"] == [list(map(int, at)) for at in attention_sinks(rec).nonzero()]
    lengths = rec.norms[1:]
    looks = rec.attention(0).mean(dim=0).fill_diagonal_(0)
    assert [metric.value for metric in app.metric] == [
        "0",
        f"{lengths.max() / lengths.median():.2f} ×",
        str(len(shown["crosses"])),
        f"{looks.sum(dim=0)[1:].max():.1f} ×",
    ]
