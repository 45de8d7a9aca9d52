"""The residual stream and the lens against the model."""

from __future__ import annotations

import pytest
import timm
import torch

import vitviz
from vitviz.errors import ModelError
from vitviz.inside.lens import logit_lens, norm_steps, residual_stream
from vitviz.methods.rollout import rollout_through

PHOTO = vitviz.samples()[0].path


def recorded(name: str, **options: object) -> vitviz.Recording:
    torch.manual_seed(0)
    module = timm.create_model(name, depth=3, num_classes=5, **options).eval()
    with torch.no_grad():
        for key, weights in module.named_parameters():
            if key.endswith("gamma"):
                weights.normal_()
    return vitviz.record(vitviz.from_module(module), vitviz.load_image(PHOTO))


@pytest.fixture(
    scope="module",
    params=[
        ("vit_tiny_patch16_224", {"img_size": 64}),
        ("vit_tiny_patch16_224", {"img_size": 64, "global_pool": "avg", "class_token": False}),
        ("vit_small_patch14_dinov2", {"img_size": 56}),
        ("deit_tiny_distilled_patch16_224", {"img_size": 64}),
    ],
    ids=["token", "average", "layer scale", "distilled"],
)
def rec(request: pytest.FixtureRequest) -> vitviz.Recording:
    name, options = request.param
    return recorded(name, **options)


def test_each_block_adds_two_parts(rec: vitviz.Recording) -> None:
    stream = residual_stream(rec)
    assert stream.states.shape == (4, rec.num_tokens, stream.states.shape[-1])
    added = stream.states[:-1] + stream.attention + stream.mlp
    torch.testing.assert_close(added, stream.states[1:], atol=1e-5, rtol=1e-4)
    state = stream.states[1:2]
    with torch.no_grad():
        after = rec.vit.module.blocks[1](state)
    torch.testing.assert_close(after, stream.states[2:3], atol=1e-5, rtol=1e-4)


def test_the_last_lens_is_the_models_answer(rec: vitviz.Recording) -> None:
    logits = logit_lens(rec, residual_stream(rec))
    assert logits.shape == (4, 5)
    torch.testing.assert_close(logits[-1], rec.logits, atol=1e-5, rtol=1e-4)


def test_an_earlier_lens_is_a_shorter_model() -> None:
    rec = recorded("vit_tiny_patch16_224", img_size=64)
    short = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64, num_classes=5).eval()
    weights = rec.vit.module.state_dict()
    short.load_state_dict({key: weights[key] for key in short.state_dict()})
    with torch.no_grad():
        expected = short(rec.pixels[None])[0]
    torch.testing.assert_close(
        logit_lens(rec, residual_stream(rec))[2], expected, atol=1e-5, rtol=1e-4
    )


def test_a_norm_centres_and_scales(rec: vitviz.Recording) -> None:
    stream = residual_stream(rec)
    steps = norm_steps(rec, stream, 1, 2)
    assert float(steps.centred.mean()) == pytest.approx(0, abs=1e-5)
    assert float(steps.centred.std(correction=0)) == pytest.approx(1, abs=1e-3)
    norm = rec.vit.module.blocks[1].norm1
    with torch.no_grad():
        torch.testing.assert_close(steps.result, norm(stream.states[1])[2])
        torch.testing.assert_close(steps.centred * norm.weight + norm.bias, steps.result)


@pytest.mark.parametrize("name", ["vit_small_patch16_18x2_224", "vit_base_patch16_rpn_224"])
def test_other_blocks_are_refused(name: str) -> None:
    rec = recorded(name, img_size=64)
    with pytest.raises(ModelError, match="one after the other"):
        residual_stream(rec)


def test_rollout_through_all_layers_is_rollout(rec: vitviz.Recording) -> None:
    for query in ("cls", (1, 2)):
        whole = vitviz.explain(rec, "rollout", query).values
        through = rec.patches(rollout_through(rec, query, rec.num_layers))
        torch.testing.assert_close(through, torch.from_numpy(whole))


def test_rollout_through_one_layer_by_hand(rec: vitviz.Recording) -> None:
    token = rec.num_prefix_tokens + rec.grid[1] + 2
    expected = rec.attention_row(0, (1, 2)).mean(dim=0) / 2
    expected[token] += 0.5
    torch.testing.assert_close(rollout_through(rec, (1, 2), 1), expected)
    start = rollout_through(rec, (1, 2), 0)
    assert float(start[token]) == float(start.sum()) == 1
