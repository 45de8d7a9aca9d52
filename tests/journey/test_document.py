"""What the browser is given, against the recording."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import timm
import torch
from families import make_photo, random_module
from hypothesis import given, settings
from hypothesis import strategies as st
from journeys import KINDS, layered, of_channels, recorded, rounding_of, rows_of
from PIL import Image
from timm.models.vision_transformer import ParallelScalingBlock

import vitviz
from vitviz.errors import MethodError
from vitviz.inside.attention_steps import head_steps
from vitviz.inside.lens import logit_lens, norm_steps, residual_stream
from vitviz.journey.document import (
    MOST_FOLLOWED,
    cls_document,
    layer_arrays,
    layer_maps,
    named_arrays,
    token_arrays,
)
from vitviz.methods.lens import token_lens

HALF = 2.0**-10  # two roundings to float16


@pytest.fixture(params=KINDS)
def rec(request: pytest.FixtureRequest) -> vitviz.Recording:
    return recorded(request.param)


def test_rows_are_the_recordings(rec: vitviz.Recording) -> None:
    header = cls_document(rec).header
    for layer in range(rec.num_layers):
        arrays, exact = layer_arrays(rec, layer), rec.attention(layer).numpy()
        made = rows_of(arrays, header, layer)
        if "dim" in header["layers"][layer]:
            np.testing.assert_allclose(made, exact, rtol=rounding_of(arrays, header, layer))
        else:
            most = exact.max(axis=-1, keepdims=True)
            assert (np.abs(made - exact) <= most / 255 * 0.501).all()


def test_a_bias_is_sent_as_maps() -> None:
    """A bias on the scores, which queries and keys do not know."""
    header = cls_document(recorded("beit")).header
    assert header["layers"] == [{"heads": 3}] * 3
    assert sorted(layer_arrays(recorded("beit"), 1)) == ["map 1", "most 1"]


def test_keys_that_are_shared_are_sent_once() -> None:
    rec = recorded("grouped")
    assert [layer["group"] for layer in cls_document(rec).header["layers"]] == [2, 2, 2]
    arrays = layer_arrays(rec, 0)
    assert [arrays[name].shape[0] for name in ("query 0", "key 0")] == [4, 2]


def test_maps_are_within_a_255th_of_their_rows_largest(rec: vitviz.Recording) -> None:
    for layer in range(rec.num_layers):
        arrays, exact = layer_maps(rec, layer), rec.attention(layer).numpy()
        most = exact.max(axis=-1, keepdims=True)
        np.testing.assert_array_equal(arrays[f"most {layer}"], most[..., 0])
        made = arrays[f"map {layer}"] / 255 * most
        assert (np.abs(made - exact) <= most / 255 * 0.501).all()


def test_a_row_that_sees_nothing_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    rec = recorded("vit")
    nothing = torch.zeros(3, rec.num_tokens, rec.num_tokens)
    monkeypatch.setattr(type(rec), "attention", lambda *_: nothing)
    assert not layer_maps(rec, 0)["map 0"].any()


def test_a_token_that_leads_has_its_own_numbers(rec: vitviz.Recording) -> None:
    found = token_arrays(rec, (1, 2))
    token = rec.num_prefix_tokens + rec.grid[1] + 2
    gaze = np.concatenate([rec.attention(layer)[:, token] for layer in range(rec.num_layers)])
    np.testing.assert_allclose(found["gaze 1,2"], gaze, rtol=HALF, atol=1e-6)
    stream = residual_stream(rec)
    np.testing.assert_allclose(found["state 1,2"], stream.states[:, token], rtol=HALF, atol=1e-6)
    for layer in range(rec.num_layers):
        heads = rec.num_heads(layer)
        of_layer = found["heads 1,2"][layer * heads : (layer + 1) * heads]
        outputs = [head_steps(rec, layer, head, (1, 2)).output for head in range(heads)]
        np.testing.assert_allclose(of_layer, np.stack(outputs), rtol=HALF, atol=1e-6)
        normed = norm_steps(rec, stream, layer, token).result.detach()
        np.testing.assert_allclose(found["normed 1,2"][layer], normed, rtol=HALF, atol=1e-6)


def test_the_token_is_the_sum_of_what_was_added(rec: vitviz.Recording) -> None:
    found = token_arrays(rec, (0, 1))
    state, attention, mlp = (
        found[f"{name} 0,1"].astype(float) for name in ("state", "attention", "mlp")
    )
    after = state[:-1] + attention + mlp
    np.testing.assert_allclose(after, state[1:], atol=4 * HALF * np.abs(state).max())


def test_the_lens_is_the_models_answer_at_the_end(rec: vitviz.Recording) -> None:
    document = cls_document(rec)
    assert not document.missing
    header, arrays = document.header, document.arrays
    value = {p.index: p.probability for p in rec.predictions}
    last = [value[index] for index in header["followed"]]
    np.testing.assert_allclose(arrays["followed cls"][-1], last, rtol=2 * HALF, atol=1e-6)
    assert header["followed"][0] == rec.predictions[0].index
    assert len(header["followed"]) <= MOST_FOLLOWED
    label = {p.index: p.label for p in rec.predictions}
    best = {*arrays["best"].flatten().tolist(), *arrays["best cls"].tolist()}
    assert header["labels"] == {index: label[index] for index in header["labels"]}
    assert set(header["labels"]) == {*header["followed"], *best}


def test_each_tokens_lens_is_the_classifier_on_it_alone(rec: vitviz.Recording) -> None:
    document = cls_document(rec)
    stream, followed = residual_stream(rec), document.header["followed"]
    for layer, states in enumerate(stream.states):
        values = rec.values(token_lens(rec, states)).numpy()
        sent = document.arrays["followed"][layer]
        np.testing.assert_allclose(sent, values[:, followed], rtol=HALF, atol=1e-6)
        best = document.arrays["best"][layer]
        np.testing.assert_array_equal(best, values.argmax(axis=1))
        largest = values.max(axis=1)
        np.testing.assert_allclose(document.arrays["best_value"][layer], largest, rtol=HALF)


def test_what_the_classifier_reads_has_a_lens_of_its_own(rec: vitviz.Recording) -> None:
    """In the distilled model it reads two tokens, in others the patches beside a class token."""
    arrays = cls_document(rec).arrays
    values = rec.values(logit_lens(rec, residual_stream(rec))).numpy()
    np.testing.assert_array_equal(arrays["best cls"], values.argmax(axis=1))
    np.testing.assert_allclose(arrays["best_value cls"], values.max(axis=1), rtol=HALF)
    assert arrays["best cls"][-1] == rec.predictions[0].index


@pytest.mark.parametrize("kind", ["vit", "dinov2 registers", "grouped"])
def test_where_it_reads_the_class_token_that_is_its_lens(kind: str) -> None:
    document = cls_document(recorded(kind))
    assert document.header["reads_class_token"]
    arrays = document.arrays
    np.testing.assert_array_equal(arrays["best"][:, 0], arrays["best cls"])
    np.testing.assert_allclose(arrays["followed"][:, 0], arrays["followed cls"], rtol=2 * HALF)


def test_a_class_token_that_nobody_reads_is_told() -> None:
    read = {kind: cls_document(recorded(kind)).header["reads_class_token"] for kind in KINDS}
    assert [kind for kind in KINDS if recorded(kind).has_class_token and not read[kind]] == [
        "beit",
        "eva02",
        "dinov3",
    ]
    assert not read["siglip"]


def test_the_photo_is_what_the_patches_cover() -> None:
    """150 × 70 pixels under patches of 16: the rest at the edges belongs to no token."""
    module = random_module("vit")
    module.patch_embed.img_size = None  # whatever it is given
    module.pos_embed = None
    rec = vitviz.record(vitviz.from_module(module), torch.zeros(3, 70, 150))
    arrays = cls_document(rec).arrays
    assert Image.open(io.BytesIO(arrays["photo"].tobytes())).size == (144, 64)


def test_a_model_without_a_class_token_has_no_vectors_of_it() -> None:
    document = cls_document(recorded("average pooled"))
    assert not document.missing
    assert not document.header["has_class_token"]
    assert {name for name in document.arrays if name.endswith(" cls")} == {
        "gaze cls",
        "best cls",
        "best_value cls",
        "followed cls",
    }


def test_blocks_of_another_kind_have_their_gaze_alone() -> None:
    """Attention and MLP side by side: there is no token between them."""
    torch.manual_seed(0)
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=2, block_fn=ParallelScalingBlock
    )
    document = cls_document(vitviz.record(vitviz.from_module(module), make_photo()))
    assert list(document.missing) == ["stream"]
    assert sorted(document.arrays) == ["gaze cls", "photo"]


def test_a_model_that_gives_a_vector_has_no_classes() -> None:
    module = random_module("vit")
    module.reset_classifier(0)
    document = cls_document(vitviz.record(vitviz.from_module(module), make_photo()))
    assert not document.missing
    assert "followed" not in document.header
    assert document.header["answer"] == []
    assert "state cls" in document.arrays


def test_a_layered_model_sends_each_layer_on_its_own_grid() -> None:
    rec = layered()
    document = cls_document(rec)
    assert list(document.missing) == ["matrices"]
    grids = [(56, 56), (28, 28), (14, 14), (7, 7)]
    heads = [3, 6, 12, 24]
    assert document.header["layers"] == [
        {"heads": count, "grid": grid} for count, grid in zip(heads, grids, strict=True)
    ]
    last = [rec.attention(layer).mean(dim=1) for layer in (2, 3)]  # of all patches alike
    found = document.arrays["gaze cls"]
    assert found.shape == (3 * 56**2 + 6 * 28**2 + 12 * 14**2 + 24 * 7**2,)
    exact = np.concatenate([values.flatten() for values in last])
    np.testing.assert_allclose(found[-len(exact) :], exact, rtol=HALF, atol=1e-6)


def test_a_patch_of_a_layered_model_is_followed_in_the_patches_that_contain_it() -> None:
    rec = layered()
    found = token_arrays(rec, (20, 41))
    assert list(found) == ["gaze 20,41"]
    coarse = [rec.attention(2)[:, 5 * 14 + 10], rec.attention(3)[:, 2 * 7 + 5]]
    exact = np.concatenate([values.flatten() for values in coarse])
    np.testing.assert_allclose(found["gaze 20,41"][-len(exact) :], exact, rtol=HALF, atol=1e-6)
    assert list(named_arrays(rec, ["map 0", "query 0", "gaze 20,41"])) == ["gaze 20,41"]


@pytest.mark.parametrize("kind", ["vit", "layered"])
def test_the_answer_is_the_models(kind: str) -> None:
    rec = layered() if kind == "layered" else recorded(kind)
    header, best = cls_document(rec).header, rec.predictions[:5]
    assert header["answer"] == [(p.index, p.probability) for p in best]
    assert {header["labels"][p.index] for p in best} == {p.label for p in best}


def test_a_model_whose_channels_look_is_refused() -> None:
    with pytest.raises(MethodError, match="one map over all tokens in each layer, as the journey"):
        cls_document(of_channels())


def test_named_arrays_are_exactly_those() -> None:
    rec = recorded("vit")
    names = ["query 2", "gaze 1,2", "mlp 1,2", "gaze 0,5"]
    found = named_arrays(rec, names)
    assert sorted(found) == sorted(names)
    np.testing.assert_array_equal(found["query 2"], layer_arrays(rec, 2)["query 2"])
    np.testing.assert_array_equal(found["mlp 1,2"], token_arrays(rec, (1, 2))["mlp 1,2"])


NONE_SUCH = [
    "query 3", "query -1", "query 1,1", "gaze 4,0", "gaze 0,6", "gaze 1", "gaze 1,1,1", "gaze 01,1",
    "gaze cls", "query ²", "query ٣", "query  1", "query 1\n", "query " + "9" * 5000, "", " ",
    "photo", "__class__ 1", None, 3, ["query 1"], {"query 1": 1}, float("nan"),
]  # fmt: skip


@pytest.mark.parametrize("name", NONE_SUCH, ids=lambda name: repr(name)[:20])
def test_what_there_is_not_is_left_out(name: Any) -> None:
    assert named_arrays(recorded("vit"), [name]) == {}
    assert list(named_arrays(recorded("vit"), [name, "key 0"])) == ["key 0"]


PARTS = st.sampled_from(["query", "key", "gaze", "state", "map", "most", "photo", "²", ""])
PLACES = st.one_of(
    st.integers().map(str),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(lambda at: f"{at[0]},{at[1]}"),
    st.text(),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=150)
@given(st.lists(st.one_of(st.builds("{} {}".format, PARTS, PLACES), JSON)))
def test_no_question_is_an_error(names: list[Any]) -> None:
    found = named_arrays(recorded("vit"), names)
    assert all(name in names for name in found)
