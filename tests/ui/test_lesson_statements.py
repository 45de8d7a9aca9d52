"""What the lessons' words claim, against the model."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lesson_pages import answer, opened
from pages import opened as page_of
from visits import recording

import vitviz
from vitviz.inside.heads import head_statistics, uniform_distance
from vitviz.inside.lens import residual_stream
from vitviz.inside.tokens import filter_components, projection, share_along
from vitviz.training.augmentation import random_crops
from vitviz.training.trained_part import frozen_part
from vitviz.training.training import start
from vitviz.ui.course.training_run import HEAD_PLAN
from vitviz.ui.visit.language import texts


def test_queries_keys_and_values_come_from_the_normed_token() -> None:
    app = opened("attention", step="1", sample="coffee", patch="3,7", in_layer="5", in_head="2")
    rec = recording(app)
    block, token = rec.vit.module.blocks[5], 1 + 3 * 16 + 7
    x = residual_stream(rec).states[5, token]
    normed = F.layer_norm(x, x.shape, block.norm1.weight, block.norm1.bias, block.norm1.eps)
    made = F.linear(normed, block.attn.qkv.weight, block.attn.qkv.bias).unflatten(0, (3, 6, 64))
    call = rec.layers[5]
    for vector, recorded in zip(made[:, 2], (call.query, call.key, call.value), strict=True):
        torch.testing.assert_close(vector, recorded[0, 2, token], atol=1e-4, rtol=1e-4)
    assert r"q = W_q\,\mathrm{LN}(x) + b_q" in app.latex[0].value


def test_a_block_adds_twice_each_time_from_a_normed_token() -> None:
    app = opened("layers", step="1", sample="coffee", in_layer="4")
    rec = recording(app)
    block = rec.vit.module.blocks[4]
    with torch.no_grad():
        x = residual_stream(rec).states[4][None]
        between = x + block.ls1.gamma * block.attn(block.norm1(x))
        after = between + block.ls2.gamma * block.mlp(block.norm2(between))
    assert r"x' = x + \gamma_1 \cdot \mathrm{Attn}(\mathrm{LN}\,x)" in app.latex[0].value
    shown = app.latex[-1].value.split("=")
    for found, place in ((between, 2), (after, 4)):
        number = float(shown[place].split("\\")[0].strip())
        assert number == pytest.approx(float(found[0, 0, 0]), abs=2e-4)


def test_attention_distance_grows_in_the_second_half_only() -> None:
    vit = vitviz.load_model()
    for sample in vitviz.samples():
        rec = vitviz.record(vit, vitviz.load_image(sample.path))
        of_layers = head_statistics(rec).distance.mean(axis=1)
        assert (of_layers.argmin(), of_layers.argmax()) == (3, 10)
        assert of_layers[0] > 1.5 * of_layers[3]
        assert abs(of_layers[10] - uniform_distance(rec)) < 10
    for name, step in (("layers", "5"), ("manyheads", "2")):
        app = opened(name, step=step, sample="coffee")
        answer(app, right=True)
        [chart] = app.get("vega_lite_chart")
        spec = json.loads(chart.proto.spec)
        assert "rule" in [layer["mark"]["type"] for layer in spec["layer"]]
        assert any("117" in caption.value for caption in app.caption)


def test_scaled_logits_say_which_classes_rise() -> None:
    app = opened("prediction", step="2", sample="tower")
    answer(app, right=True)
    rec, words = recording(app), texts("en")["prediction"]["softmax"]
    best = [p.index for p in rec.predictions[:5]]
    for scale in (0.3, 1.0, 2.0):
        app.slider(key="scale").set_value(scale).run()
        now, more = ((s * rec.logits.double()).softmax(0)[best] for s in (scale, scale + 1e-4))
        expected = [words["rises" if rose else "falls"] for rose in (more > now).tolist()]
        table = app.dataframe[0].value
        assert table["way"].tolist() == expected
        np.testing.assert_allclose(table["share"], 100 * now, rtol=1e-4)
        assert expected.count(words["rises"]) > 1 or scale > 1  # not the largest alone


def test_the_filters_components_say_what_they_hold() -> None:
    app = opened("tokens", step="3")
    weight = projection(recording(app).vit)[0].flatten(1).double().numpy()
    values = np.linalg.eigvalsh(np.cov(weight.T))[::-1]
    shares = values / values.sum()
    [picture] = app.get("image")
    assert f"together {shares[:32].sum():.0%} of their variance" in str(picture.proto)
    assert f"the first alone {shares[0]:.1%}" in str(picture.proto)
    # As the words say: fine, grey, and hardly in any photo.
    found, _ = filter_components(projection(recording(app).vit)[0], 32)
    grey = 3 * found.mean(dim=1).square().sum(dim=(1, 2)) / found.square().sum(dim=(1, 2, 3))
    assert grey.mean() > 0.95
    assert shares[0] < 0.03
    vit = recording(app).vit
    for sample in vitviz.samples():
        rec = vitviz.record(vit, vitviz.load_image(sample.path))
        assert share_along(rec, found) < 0.04


def test_a_random_view_has_features_of_its_own() -> None:
    vit = vitviz.load_model()
    photo = vitviz.load_image(vitviz.samples()[0].path)
    [view] = random_crops(photo, 1, seed=0)
    once, again, other = (frozen_part(vit, [vit.transform(p)]) for p in (photo, photo, view))
    assert torch.equal(once, again)  # so they may be computed once
    assert not torch.allclose(once, other, atol=0.1)


def test_training_takes_the_steps_of_adamw() -> None:
    vit = vitviz.load_model()
    inputs = torch.randn(4, vit.anatomy.width, generator=torch.Generator().manual_seed(0))
    _, training = start(vit, ["a", "b"], inputs, torch.tensor([0, 1, 0, 1]), HEAD_PLAN)
    assert isinstance(training.optimizer, torch.optim.AdamW)


@pytest.mark.parametrize("page", ["heads", "explore"])
def test_the_pages_say_what_the_lessons_say(page: str) -> None:
    app = page_of(page, sample="cat", artefacts="true")
    rec = recording(app)
    if page == "heads":
        assert any(f"{uniform_distance(rec):.0f}" in caption.value for caption in app.caption)
        return
    [photo] = [part for part in app.get("bidi_component") if "patch_map" in part.proto.id]
    shown = json.loads(photo.proto.json)
    assert shown["marks"] == []
    assert shown["crosses"] == vitviz.attention_sinks(rec).nonzero().tolist() != []
    assert any("attention sinks: 2" in caption.value for caption in app.caption)


def test_while_the_scale_grows_fewer_and_fewer_classes_rise() -> None:
    """Those above the mean logit of that moment do; one that is above it may yet fall if the scale
    doubles at once."""
    vit = vitviz.load_model()
    path = next(s.path for s in vitviz.samples() if s.id == "cat-and-coffee")
    logits = vitviz.record(vit, path).logits.double()
    rising = []
    for scale in (0.5, 1.0, 2.0, 4.0):
        shares = (scale * logits).softmax(dim=0)
        mean = (shares * logits).sum()
        moved = ((scale + 1e-6) * logits).softmax(dim=0) - shares
        apart = (logits - mean).abs() > 1e-3
        assert torch.equal((moved > 0)[apart], (logits > mean)[apart])
        rising.append(int((logits > mean).sum()))
    assert rising == sorted(rising, reverse=True)
    assert rising[0] > rising[-1] >= 1
    logits = torch.tensor([2, 1.2, 0, 0, 0, 0, 0], dtype=torch.float64)
    shares, doubled = logits.softmax(dim=0), (2 * logits).softmax(dim=0)
    assert logits[1] > (shares * logits).sum()
    assert doubled[1] < shares[1]
