"""The model is left as it was, and shared between threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch
from families import make_photo, random_module, set_fused
from hooks import is_left_alone
from PIL import Image

import vitviz
from vitviz.recording.recorder import Recorder


class TestLeavesNothingBehind:
    def test_no_hook_after_success(self, vit: vitviz.Vit, photo: Image.Image) -> None:
        vitviz.record(vit, photo)
        assert is_left_alone(vit.module)

    def test_no_hook_after_an_error_in_the_forward(
        self, vit: vitviz.Vit, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("in the middle")

        with monkeypatch.context() as patch:
            patch.setattr(vit.module.blocks[1].mlp, "forward", broken)
            with pytest.raises(vitviz.ModelError, match="in the middle"):
                vitviz.record(vit, photo)
        assert is_left_alone(vit.module)
        assert vitviz.record(vit, photo).num_layers == 3

    def test_recording_outside_the_context_stops(self) -> None:
        module = random_module("vit")
        with Recorder(module) as recorder, torch.no_grad():
            module(torch.zeros(1, 3, 64, 96))
        calls = len(recorder.calls)
        with torch.no_grad():
            module(torch.zeros(1, 3, 64, 96))
        assert len(recorder.calls) == calls == 3


def test_a_recording_inside_another_is_its_own() -> None:
    """A model that asks another one on its way: each recording holds its own model's calls."""
    inner = vitviz.from_module(random_module("vit"))
    outer = random_module("vit")
    photo, found = make_photo(), []
    outer.blocks[1].register_forward_hook(lambda *_: found.append(vitviz.record(inner, photo)))
    with Recorder(outer) as recorder, torch.no_grad():
        outer(torch.zeros(1, 3, 64, 96))
    assert [call.module for call in recorder.calls] == [f"blocks.{i}.attn" for i in range(3)]
    alone = vitviz.record(inner, photo)
    for layer in range(3):
        assert torch.equal(found[0].attention(layer), alone.attention(layer))
    assert is_left_alone(inner.module)


def test_hooks_are_registered_once_and_survive_a_copy() -> None:
    vit = vitviz.from_module(random_module("vit"))
    vitviz.from_module(vit.module)
    vitviz.record(vit, make_photo())
    copied = vitviz.from_module(deepcopy(vit.module))
    copied.module.blocks.append(deepcopy(copied.module.blocks[0]))
    assert vitviz.record(copied, make_photo()).num_layers == 4
    assert is_left_alone(vit.module)
    assert is_left_alone(copied.module)


@pytest.mark.parametrize("fused", [True, False])
def test_sixteen_threads_share_one_model(fused: bool) -> None:
    vit = vitviz.from_module(random_module("vit"))
    set_fused(vit.module, fused)
    photos = [make_photo(seed) for seed in range(16)]
    alone = [vitviz.record(vit, photo) for photo in photos]
    barrier = threading.Barrier(16)

    def together(photo: Image.Image) -> vitviz.Recording:
        barrier.wait()
        for _ in range(4):
            vitviz.record(vit, photo)
        return vitviz.record(vit, photo)

    with ThreadPoolExecutor(16) as pool:
        shared = list(pool.map(together, photos))
    assert len({tuple(rec.logits.tolist()) for rec in alone}) == 16
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.logits, other.logits)
        assert [c.module for c in one.layers] == [c.module for c in other.layers]
        for layer in range(one.num_layers):
            assert torch.equal(one.attention(layer), other.attention(layer))
    assert is_left_alone(vit.module)


def test_a_thread_that_does_not_record_is_left_alone() -> None:
    """It runs the hooked module meanwhile: its logits and the recordings stay the same."""
    vit = vitviz.from_module(random_module("vit"))
    photos = [make_photo(seed) for seed in range(4)]
    expected = [vitviz.record(vit, photo) for photo in photos]
    pixels = vit.transform(make_photo(9))[None]
    with torch.no_grad():
        plain = vit.module(pixels)
    done = threading.Event()
    different: list[int] = []
    runs = 0

    def unrecorded() -> None:
        nonlocal runs
        with torch.no_grad():
            while not done.is_set() or runs < 20:
                different.extend([runs] * (not torch.equal(vit.module(pixels), plain)))
                runs += 1

    bystander = threading.Thread(target=unrecorded)
    bystander.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                for one, other in zip(
                    expected, pool.map(lambda p: vitviz.record(vit, p), photos), strict=True
                ):
                    assert torch.equal(one.logits, other.logits)
                    assert [c.module for c in one.layers] == [c.module for c in other.layers]
                    assert torch.equal(one.attention(1), other.attention(1))
    finally:
        done.set()
        bystander.join()
    assert runs >= 20
    assert different == []
