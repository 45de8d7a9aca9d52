"""What the lesson on pretraining shows, against the model and the library."""

from __future__ import annotations

import math

import pytest
import torch
from lesson_pages import answer, chart, metrics, opened
from visits import recording

import vitviz
from vitviz.interventions.squares import record_square
from vitviz.training.initialisation import KINDS, activation_sizes
from vitviz.training.pretraining import (
    global_and_local,
    hidden_patches,
    masked_loss,
    nearest_visible,
    patch_targets,
    self_distillation,
)
from vitviz.training.regularisation import weights_left, without_each_block
from vitviz.training.trained_part import features
from vitviz.ui.visit.language import texts

WORDS = texts("en")["pretraining"]


def test_the_label_pulls_at_the_logits() -> None:
    app = opened("pretraining", step="1", sample="coffee")
    rec = recording(app)
    best = rec.predictions[0]
    assert metrics(app) == [f"{-math.log(best.value):.4f}"]
    shown = chart(app)
    assert shown["value"][0] == pytest.approx(best.value - 1, abs=1e-6)
    assert shown["value"][1:] == pytest.approx([p.value for p in rec.predictions[1:5]], abs=1e-6)
    assert "looks in layer 11, mean" in str(app.get("image")[0].proto)
    app.selectbox(key="of_class").set_value(rec.predictions[2].label).run()
    assert metrics(app) == [f"{-math.log(rec.predictions[2].value):.4f}"]


def test_the_small_dino_collapses_as_the_words_say() -> None:
    app = opened("pretraining", step="2")
    answer(app, right=True)
    vit = recording(app).vit
    pairs = [global_and_local(vitviz.load_image(s.path), 0) for s in vitviz.samples()]
    large, small = (
        features(vit, torch.stack([vit.transform(view) for view in views]))
        for views in zip(*pairs, strict=True)
    )
    found = {}
    for centred in (True, False):
        app.toggle(key="centred").set_value(centred)
        for sharp in (True, False):
            app.toggle(key="sharp").set_value(sharp).run()
            last = self_distillation(large, small, centred=centred, sharp=sharp, steps=100)[-1]
            assert float(metrics(app)[0]) == pytest.approx(last.loss, abs=0.02)
            assert float(metrics(app)[1]) == pytest.approx(last.entropy, abs=0.02)
            assert metrics(app)[2] == str(last.used)
            found[centred, sharp] = last
    assert found[False, True].used <= 3 < 5 <= found[True, True].used
    assert found[True, False].entropy > 2.4 > 1 > found[True, True].entropy
    shown = chart(app)
    assert len(shown["probability"]) == 7 * 16
    app.slider(key="dino_steps").set_value(0).run()
    assert float(metrics(app)[1]) > found[True, True].entropy


def test_hidden_patches_cost_what_they_cost() -> None:
    app = opened("pretraining", step="3", sample="cat")
    answer(app, right=True)
    rec = recording(app)
    hidden, targets = hidden_patches(rec.grid, 0.75, 0), patch_targets(rec)
    near = targets.flatten(0, 1)[nearest_visible(hidden)]
    flat, copied, cost = metrics(app)
    assert flat == "1.00"
    assert copied == f"{masked_loss(targets, near, hidden):.2f}"
    n, all_of_it, weights, width = 65, 257, 12 * 384**2, 384
    expected = (n * weights + 2 * n**2 * width) / (all_of_it * weights + 2 * all_of_it**2 * width)
    assert cost == f"{expected:.0%}"
    assert "64 patches" in str(app.get("image")[0].proto)


def test_a_larger_input_is_read_with_more_tokens() -> None:
    app = opened("pretraining", step="5", sample="cat")
    rec = recording(app)
    assert "448 pixels, 1025 tokens" in str(app.get("image")[1].proto)
    photo = vitviz.load_image(next(s.path for s in vitviz.samples() if s.id == "cat"))
    found = record_square(rec.vit, photo, 448).predictions[0]
    assert found.label == "Egyptian cat"
    bars = [part.proto.body for part in app.get("html") if "predictions" in part.proto.body]
    assert found.label in bars[1]


@pytest.mark.parametrize("residual", [False, True])
def test_first_weights_vanish_but_for_norm_and_residual(residual: bool) -> None:
    app = opened("pretraining", step="6", residual=str(residual).lower())
    shown = chart(app)
    expected = [activation_sizes(kind, 12, 384, residual=residual) for kind in KINDS]
    assert shown["size"] == pytest.approx([size for sizes in expected for size in sizes])
    last = dict(zip(KINDS, (sizes[-1] for sizes in expected), strict=True))
    if residual:
        assert all(1 < size < 6 for size in last.values())
    else:
        assert last["truncated"] < 1e-5 < 0.01 < last["xavier"] < 0.02
        assert 0.7 < last["he"] < 1.3 < 30 < last["large"]
        assert expected[3][4] < 0.01


def test_regularisers_on_real_numbers() -> None:
    app = opened("pretraining", step="7", sample="cat")
    rec = recording(app)
    best = rec.predictions[0]
    expected = without_each_block(rec).softmax(dim=-1)[:, best.index].tolist()
    assert chart(app)["probability"] == pytest.approx(expected, abs=1e-5)
    app.segmented_control(key="regulariser").set_value("attention").run()
    app.select_slider(key="attention_dropout").set_value(0.0).run()
    assert metrics(app) == ["0 / 257", "1.000"]
    app.select_slider(key="attention_dropout").set_value(0.5).run()
    assert 90 < int(metrics(app)[0].split(" / ")[0]) < 170
    app.segmented_control(key="regulariser").set_value("decay").run()
    assert f"{weights_left(1e-3, 0.05, 100_000):.2%} are left" in app.caption[-1].value


def test_the_task_names_the_block_that_is_missed_most() -> None:
    app = opened("pretraining", step="9", sample="cat")
    rec = recording(app)
    shares = without_each_block(rec).softmax(dim=-1)
    best = rec.predictions[0]
    worst = int(shares[:, best.index].argmin())
    kept = int((shares.argmax(dim=1) == best.index).sum())
    expected = WORDS["task"].format(
        label=best.label,
        layer=worst,
        left=f"{shares[worst, best.index]:.1%}",
        kept=kept,
        blocks=12,
    )
    assert expected in [markdown.value for markdown in app.markdown]
