"""One gradient pass a class: shared by the methods, kept with the recording, unseen by others."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from families import make_photo, random_classifier
from hooks import is_left_alone
from PIL import Image
from torch import nn

import vitviz
from vitviz.methods.gradients import Score, gradients, layer_input
from vitviz.recording.recording import Memo, Recording

SHARED = ["relevance", "gradient_rollout", "legrad", "gradcam"]


@pytest.fixture
def rec(photo: Image.Image) -> Recording:
    return vitviz.record(vitviz.from_module(random_classifier("dinov2 registers")), photo)


class TestOnePassAClass:
    @pytest.fixture
    def forwards(self, rec: Recording) -> list[int]:
        """The batch size of every forward pass from now on."""
        sizes: list[int] = []
        rec.vit.module.patch_embed.register_forward_hook(lambda *a: sizes.append(len(a[-1])))
        return sizes

    def test_two_methods_share_it(self, rec: Recording, forwards: list[int]) -> None:
        for method in ("relevance", "gradient_rollout"):
            vitviz.explain(rec, method, target=2)
            vitviz.explain(rec, method, target=2)
        vitviz.explain(rec, "relevance", (1, 1), 2)
        assert forwards == [1]
        vitviz.explain(rec, "relevance", target=1)
        vitviz.explain(rec, "relevance", target=2, versus=1)
        assert forwards == [1, 1, 1]

    def test_gradcam_needs_the_last_block_only(self, rec: Recording, forwards: list[int]) -> None:
        last = rec.vit.module.blocks[-1].attn
        before = [block.attn.qkv for block in rec.vit.module.blocks[:-1]]
        went_back: list[nn.Module] = []
        for part in (last, *before):
            part.register_full_backward_hook(lambda module, *_: went_back.append(module))
        for _ in range(2):
            vitviz.explain(rec, "gradcam", target=2)
        assert forwards == [1]
        assert went_back == [last]

    def test_legrad_runs_the_model_once_more_to_ask_about_the_blocks(
        self, rec: Recording, forwards: list[int]
    ) -> None:
        for _ in range(2):
            vitviz.explain(rec, "legrad", target=2)
        assert forwards == [1, 1]
        vitviz.explain(rec, "legrad", target=1)
        assert forwards == [1, 1, 1, 1]

    def test_the_top_prediction_is_a_class_like_any_other(self, rec, forwards) -> None:
        top = vitviz.explain(rec, "relevance")
        named = vitviz.explain(rec, "relevance", target=rec.predictions[0].index)
        assert forwards == [1]
        assert np.array_equal(top.values, named.values)

    def test_what_is_kept_is_linear_and_goes_with_the_recording(self, photo) -> None:
        rec = vitviz.record(vitviz.from_module(random_classifier("vit")), photo)
        found = gradients(rec, Score(0))
        vitviz.explain(rec, "legrad", target=0)
        own = rec.derived.last("legrad")
        last = layer_input(rec, Score(0), rec.num_layers - 1)
        tensors = [*found.attended, *own, last.tokens, last.gradient]
        width = rec.vit.module.embed_dim
        assert sum(t.untyped_storage().nbytes() for t in tensors) <= (
            4 * rec.num_tokens * width * (2 * rec.num_layers + 2)
        )
        assert not any(t.requires_grad for t in tensors)
        held = weakref.ref(found)
        del found, rec, tensors, own, last
        gc.collect()
        assert held() is None


class TestMemo:
    def test_keeps_the_most_recently_used(self) -> None:
        memo, computed = Memo(2), []

        def ask(key: str) -> str:
            def compute() -> str:
                computed.append(key)
                return key

            return memo.get(key, compute)

        assert [ask(key) for key in "abacab"] == list("abacab")
        assert computed == list("abcb")

    def test_a_copy_remembers_nothing(self) -> None:
        memo = Memo(1)
        memo.keep("a", "kept")
        for copied in (copy.deepcopy(memo), pickle.loads(pickle.dumps(memo))):
            assert copied.last("") is None
            assert [copied.keep(key, key) for key in "ab"] == ["a", "b"]
            assert copied.get("a", lambda: "computed anew") == "computed anew"

    def test_kinds_do_not_push_each_other_out(self) -> None:
        memo = Memo(2)
        for key in "abc":
            memo.get(key, lambda key=key: key, "many", most=3)
            memo.get(key, lambda key=key: key, "one", most=1)
        memo.keep("a", "kept")
        recall = [memo.get(key, lambda: "new", "many", most=3) for key in "abc"]
        assert recall == list("abc")
        assert memo.get("c", lambda: "new", "one", most=1) == "c"
        assert memo.get("b", lambda: "new", "one", most=1) == "new"
        assert memo.get("a", lambda: "new") == "kept"

    def test_the_last_of_a_kind(self) -> None:
        memo = Memo()
        assert memo.last("x") is None
        for key in "aba":
            memo.get(key, lambda key=key: key, "x")
        assert memo.last("x") == "a"

    def test_what_is_found_counts_as_used(self) -> None:
        memo = Memo(2)
        assert memo.find("a") is None
        memo.keep("a", 1)
        memo.keep("b", 2)
        assert memo.find("a") == 1
        memo.keep("c", 3)
        assert (memo.find("a"), memo.find("b"), memo.find("a", "other kind")) == (1, None, None)

    def test_threads_that_ask_together_wait_for_one(self) -> None:
        memo, computed, barrier = Memo(), [], threading.Barrier(8)

        def compute() -> int:
            computed.append(1)
            time.sleep(0.1)  # long enough for the others to come as well, if they may
            return 7

        def ask(_: int) -> int:
            barrier.wait()
            return memo.get("key", compute)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(8))) == [7] * 8
        assert computed == [1]

    def test_a_failure_is_not_kept(self) -> None:
        memo = Memo()
        with pytest.raises(ZeroDivisionError):
            memo.get("key", lambda: 1 / 0)
        assert memo.get("key", lambda: 3) == 3


class TestTheModelIsLeftAlone:
    @pytest.mark.parametrize("trainable", [True, False])
    @pytest.mark.parametrize("method", [m.id for m in vitviz.METHODS.values() if m.class_specific])
    def test_parameters_and_hooks(self, photo, method: str, trainable: bool) -> None:
        module = random_classifier("vit").requires_grad_(trainable)
        kept = torch.ones_like(module.head.weight)
        module.head.weight.grad = kept
        rec = vitviz.record(vitviz.from_module(module), photo)
        vitviz.explain(rec, method)
        assert is_left_alone(module)
        assert {p.requires_grad for p in module.parameters()} == {trainable}
        grads = [p.grad for p in module.parameters() if p is not module.head.weight]
        assert grads == [None] * len(grads)
        assert torch.equal(kept, torch.ones_like(kept))

    def test_the_callers_grad_mode_does_not_matter(self, photo) -> None:
        vit = vitviz.from_module(random_classifier("eva02"))
        expected = vitviz.explain(vitviz.record(vit, photo), "relevance")
        for mode in (torch.no_grad, torch.enable_grad, torch.inference_mode):
            with mode():
                heat = vitviz.explain(vitviz.record(vit, photo), "relevance")
            assert np.array_equal(heat.values, expected.values)

    def test_an_error_in_the_middle_leaves_no_hook(self, rec, monkeypatch) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("in the middle")

        with monkeypatch.context() as patch:
            patch.setattr(rec.vit.module.blocks[1].mlp, "forward", broken)
            with pytest.raises(vitviz.ModelError, match="in the middle"):
                vitviz.explain(rec, "relevance")
        assert is_left_alone(rec.vit.module)
        vitviz.explain(rec, "relevance")


def test_threads_share_one_model_with_different_photos_and_classes() -> None:
    vit = vitviz.from_module(random_classifier("vit"))
    jobs = [(seed, SHARED[seed % 4] if seed < 8 else "transition", seed % 5) for seed in range(10)]

    def one(job: tuple[int, str, int]) -> np.ndarray:
        seed, method, target = job
        rec = vitviz.record(vit, make_photo(seed))
        return vitviz.explain(rec, method, target=target).values

    alone = [one(job) for job in jobs]
    barrier = threading.Barrier(len(jobs))

    def together(job: tuple[int, str, int]) -> np.ndarray:
        barrier.wait()
        for _ in range(2):
            one(job)
        return one(job)

    with ThreadPoolExecutor(len(jobs)) as pool:
        for expected, found in zip(alone, pool.map(together, jobs), strict=True):
            assert np.array_equal(expected, found)
    assert is_left_alone(vit.module)
