"""The lesson on the matrix form, against the model."""

from __future__ import annotations

import json

import numpy as np
import torch
from lesson_pages import answer, opened
from streamlit.testing.v1 import AppTest
from visits import recording, session

import vitviz
from vitviz.inside.lens import residual_stream
from vitviz.inside.score_matrix import own_best, saturation, score_matrix, token_products
from vitviz.inside.weight_gradients import projection_gradients
from vitviz.methods.gradients import Score
from vitviz.ui.controls.question import typical_head
from vitviz.ui.lessons.matrix import SCALES

OWN = 1 + 3 * 16 + 7  # the token of patch 3,7


def shown(app: AppTest, name: str) -> dict[str, object]:
    """What the picture of a matrix was given."""
    [part] = [p for p in app.get("bidi_component") if f"tokens_{name}" in p.proto.id]
    return json.loads(part.proto.json)


def test_the_pictures_hold_every_pair_of_tokens() -> None:
    app = opened("matrix", step="1", sample="coffee", patch="3,7", in_layer="5", in_head="2")
    answer(app, right=True)
    data = shown(app, "scores")
    assert (data["count"], data["row"], data["prefix"], data["columns"]) == (257, OWN, 1, 16)
    assert data["low"] == -data["high"]
    app = opened("matrix", step="2", sample="coffee", patch="3,7", in_layer="5", in_head="2")
    rec = recording(app)
    output = rec.attention(5)[2, OWN] @ rec.layers[5].value[0, 2]
    assert rf"O_{{{OWN},0}} = {output[0]:.4f}" in app.latex[-1].value
    assert rf"\sum_j A_{{{OWN},j}} = 1.0000" in app.latex[-1].value
    assert shown(app, "weights")["low"] == 0


def test_without_two_matrices_tokens_would_look_at_themselves() -> None:
    vit = vitviz.load_model()
    for sample in vitviz.samples():
        rec = vitviz.record(vit, vitviz.load_image(sample.path))
        stream = residual_stream(rec)
        assert own_best(token_products(rec, stream, 5)) > 0.9  # where the lesson begins
        products = token_products(rec, stream, 6)
        assert own_best(products) > 0.9  # nearly every one, as the lesson's question says
        assert float((products - products.T).abs().max()) < 1e-4
        assert all(own_best(score_matrix(rec, 6, head)) < 0.1 for head in range(6))
        lengths = products.diagonal().sqrt()
        assert float(lengths.std() / lengths.mean()) < 0.2  # about equally long
        of_values = projection_gradients(rec, Score(rec.predictions[0].index))
        assert (of_values.argmax(dim=1) == 2).all()  # W_v in every layer
    app = opened("matrix", step="3", sample="coffee", in_layer="6", in_head="0")
    answer(app, right=True)
    rec = recording(app)
    scores = score_matrix(rec, 6, 0)
    own = own_best(token_products(rec, residual_stream(rec), 6)), own_best(scores)
    mirrored = float((scores - scores.T).norm() / (scores + scores.T).norm())
    of_tokens, of_head = (caption.value for caption in app.caption[-2:])
    assert f"{own[0]:.0%} of the tokens" in of_tokens
    assert "asymmetry 0.00" in of_tokens
    assert f"{own[1]:.0%} of the tokens" in of_head
    assert f"= {mirrored:.2f}" in of_head


def test_the_roles_are_the_row_and_the_column() -> None:
    app = opened("matrix", step="4", sample="coffee", patch="3,7", in_layer="5", in_head="2")
    scores = score_matrix(recording(app), 5, 2).double().numpy()
    expected = np.linalg.norm(scores - scores.T) / np.linalg.norm(scores + scores.T)
    assert app.metric[0].value == f"{expected:.2f}"


def test_a_saturated_row_hardly_moves() -> None:
    app = opened("matrix", step="5", sample="coffee", patch="3,7")
    answer(app, right=True)
    rec = recording(app)
    row = score_matrix(rec, *typical_head(rec))[OWN].double()
    for scale in (1.0, 16.0):
        app.select_slider(key="saturation").set_value(scale).run()
        weights = (scale * row).softmax(0)
        jacobian = torch.autograd.functional.jacobian(lambda z: z.softmax(0), scale * row)
        shown = [metric.value for metric in app.metric]
        assert shown == [f"{weights.max():.1%}", f"{jacobian.norm():.4f}"]


def test_the_chart_falls_to_nothing_where_one_weight_is_nearly_one() -> None:
    """As its words say; and that undivided scores are those at 8."""
    app = opened("matrix", step="5")
    answer(app, right=True)
    assert app.select_slider(key="saturation").options[-1] == "64"
    rec = recording(app)
    layer, head = typical_head(rec)
    row = score_matrix(rec, layer, head)[rec.token((8, 8))]
    most = saturation(row, SCALES[-1])
    assert most.weights.max() > 0.999
    assert most.gradient < 0.01 * max(saturation(row, scale).gradient for scale in SCALES)
    assert saturation(row, SCALES[0]).gradient < 0.1
    call = rec.layers[layer]
    products = call.key[0, head] @ call.query[0, head, rec.token((8, 8))]
    torch.testing.assert_close(8 * row, products, rtol=1e-4, atol=1e-4)


def test_the_chart_shows_the_lengths_for_the_chosen_class() -> None:
    app = opened("matrix", step="6", sample="coffee", of_class="soup bowl")
    rec = recording(app)
    index = next(p.index for p in rec.predictions if p.label == "soup bowl")
    lengths = projection_gradients(rec, Score(index))
    assert lengths.shape == (12, 3)
    kept = session(app).results.find(index, "projection gradients")
    torch.testing.assert_close(kept, lengths)


def test_the_task_names_the_extremes() -> None:
    app = opened("matrix", step="7", sample="coffee", in_layer="6", in_head="0")
    rec = recording(app)
    found = {
        (layer, head): float((s - s.T).norm() / (s + s.T).norm())
        for layer in range(12)
        for head in range(6)
        for s in [score_matrix(rec, layer, head)]
    }
    layer, head = min(found, key=found.__getitem__)
    said = app.markdown[-1].value
    assert f"layer {layer}, head {head}" in said
    assert f"**{min(found.values()):.2f}**" in said
    assert f"**{max(found.values()):.2f}**" in said
    assert f"**{found[6, 0]:.2f}**" in said
