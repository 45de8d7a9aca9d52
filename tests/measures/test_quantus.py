"""Measures that Quantus has too give the same numbers there, and it takes our maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import quantus
import timm
import torch
from families import random_classifier
from heatmaps import heatmap
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor

import vitviz
from vitviz.measures.curves import deletion, insertion, masked_input
from vitviz.measures.localisation import energy_in_box, pointing_game
from vitviz.measures.quantus import explain_func
from vitviz.recording.recording import Recording

PATCH = 16 * 16
QUIET = {"disable_warnings": True, "normalise": False, "abs": False}


def in_pixels(values: NDArray[Any]) -> NDArray[Any]:
    return np.kron(values, np.ones((16, 16), values.dtype))[None, None]


def flipped(
    rec: Recording, pixels: Tensor, heat: vitviz.Heatmap, new: NDArray[Any]
) -> NDArray[Any]:
    """The top class's probability by Quantus while patches of an input become those of another, one
    a step with all its channels."""

    def flip(arr: NDArray[Any], indices: NDArray[Any], **_: object) -> NDArray[Any]:
        changed = arr.copy()
        np.put_along_axis(changed, indices, np.take_along_axis(flat, indices, 1), 1)
        return changed

    flat = new.reshape(1, -1)
    [curve] = quantus.PixelFlipping(features_in_step=3 * PATCH, perturb_func=flip, **QUIET)(
        model=rec.vit.module,
        x_batch=pixels[None].numpy(),
        y_batch=np.array([rec.predictions[0].index]),
        a_batch=in_pixels(heat.values),
        softmax=True,
    )
    return np.array(curve)


@pytest.mark.parametrize("method", ["attention", "relevance", "random"])
def test_deletion_and_insertion_are_pixel_flipping_by_patches(rec: Recording, method: str) -> None:
    """To grey, and from the blurred photo to the sharp one."""
    heat = vitviz.explain(rec, method)
    blurred = masked_input(rec, heat, 0.0, "insertion")
    grey, sharp = np.zeros_like(rec.pixels.numpy()), rec.pixels.numpy()
    for ours, theirs in (
        (deletion(rec, heat), flipped(rec, rec.pixels, heat, grey)),
        (insertion(rec, heat), flipped(rec, blurred, heat, sharp)),
    ):
        np.testing.assert_allclose(ours.values[1:], theirs, atol=1e-6)
        assert np.ptp(theirs) > 0.01


@settings(max_examples=40)
@given(
    values=arrays(np.float32, (4, 6), elements=st.floats(0, 1, width=32), unique=True),
    rows=st.tuples(st.integers(0, 3), st.integers(1, 4)),
    cols=st.tuples(st.integers(0, 5), st.integers(1, 6)),
)
def test_pointing_and_energy_are_quantus_in_a_box_of_whole_patches(
    values: NDArray[np.float32], rows: tuple[int, int], cols: tuple[int, int]
) -> None:
    (top, tall), (left, wide) = rows, cols
    bottom, right = min(top + tall, 4), min(left + wide, 6)
    mask = np.zeros((4, 6), bool)
    mask[top:bottom, left:right] = True
    heat = replace(heatmap(values), box=(0, 0, 96, 64))
    box = (16.0 * left, 16.0 * top, 16.0 * right, 16.0 * bottom)
    given_to = {
        "model": random_classifier("vit", depth=1),
        "x_batch": np.zeros((1, 3, 64, 96), np.float32),
        "y_batch": np.zeros(1, int),
        "a_batch": in_pixels(values),
        "s_batch": in_pixels(mask),
    }
    [hit] = quantus.PointingGame(weighted=False, **QUIET)(**given_to)
    [mass] = quantus.RelevanceMassAccuracy(**QUIET)(**given_to)
    assert pointing_game(heat, box) == hit
    assert energy_in_box(heat, box) == pytest.approx(mass, rel=1e-5)


def test_quantus_asks_for_our_maps(rec: Recording) -> None:
    """It makes them by itself, of its inputs, and measures what it was given."""
    metric = quantus.PixelFlipping(features_in_step=3 * PATCH, perturb_baseline=0.0, **QUIET)
    found = metric(
        model=rec.vit.module,
        x_batch=np.stack([rec.pixels.numpy(), rec.pixels.flip(-1).numpy()]),
        y_batch=np.array([1, 3]),
        explain_func=explain_func,
        explain_func_kwargs={"vit": rec.vit, "method": "legrad"},
        softmax=True,
        device="cpu",
    )
    for curve, pixels, target in zip(found, (rec.pixels, rec.pixels.flip(-1)), (1, 3), strict=True):
        own = vitviz.record(rec.vit, pixels)
        expected = deletion(own, vitviz.explain(own, "legrad", target=target), target)
        np.testing.assert_allclose(curve, expected.values[1:], atol=1e-5)


def test_a_map_is_of_the_module_that_is_handed_over(rec: Recording) -> None:
    """Quantus randomises a copy's weights, and asks for its maps."""
    torch.manual_seed(1)
    other = random_classifier("vit")
    torch.nn.init.normal_(other.blocks[0].attn.qkv.weight, std=0.3)
    inputs, targets = rec.pixels[None].numpy(), np.array([2])
    ours = explain_func(rec.vit.module, inputs, targets, vit=rec.vit, method="relevance")
    theirs = explain_func(other, inputs, targets, vit=rec.vit, method="relevance")
    expected = vitviz.explain(
        vitviz.record(replace(rec.vit, module=other), rec.pixels), "relevance", target=2
    )
    np.testing.assert_allclose(theirs, in_pixels(expected.values), rtol=1e-5)
    assert not np.allclose(ours, theirs, rtol=1e-2)
    assert ours.dtype == np.float32
    without = explain_func(rec.vit.module, inputs, targets, method="relevance")
    np.testing.assert_allclose(without, ours, rtol=1e-5)


@pytest.mark.parametrize(
    ("side", "sizes"),
    [(41, {"img_size": 41}), (17, {"dynamic_img_size": True, "dynamic_img_pad": True})],
)
def test_a_map_has_the_size_of_the_input(side: int, sizes: dict[str, int]) -> None:
    """timm reads 32 of 41 pixels, and pads 17 to 32."""
    module = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=5, **sizes).eval()
    inputs = np.random.default_rng(0).normal(size=(2, 3, side, side)).astype(np.float32)
    found = explain_func(module, inputs, np.array([0, 1]), method="attention")
    assert found.shape == (2, 1, side, side)
    assert found[:, :, :32, :32].all()
    assert not found[:, :, 32:].any()
    assert not found[:, :, :, 32:].any()
    assert (found[:, :, :16, :16] == found[:, :, :1, :1]).all()
    assert (found[:, :, 15, 15] != found[:, :, 16, 16]).all()
