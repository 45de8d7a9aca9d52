"""What can be measured, and for which class; how a measurement goes on and ends."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from families import random_classifier, random_module
from heatmaps import heatmap
from measured import CURVES, MEASURES, Measure, numbers
from PIL import Image
from torch import nn

import vitviz
from vitviz.measures.faithfulness import (
    deletion,
    insertion,
    masked_input,
    saco,
)
from vitviz.recording.recording import Recording


class Stopped(Exception):
    pass


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
class TestProgress:
    def test_it_rises_to_one_and_changes_nothing(
        self, rec: Recording, measure: Measure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heat = vitviz.explain(rec, "random")
        monkeypatch.setattr("vitviz.progress.TOKENS_AT_ONCE", 2 * rec.num_tokens)
        seen: list[float] = []
        result = numbers(measure(rec, heat, progress=seen.append))
        assert seen == sorted(seen)
        assert len(seen) > 2
        assert seen[-1] == 1
        assert np.array_equal(result, numbers(measure(rec, heat)))

    def test_it_can_stop_the_measurement(
        self, rec: Recording, measure: Measure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vitviz.progress.TOKENS_AT_ONCE", 2 * rec.num_tokens)
        seen: list[float] = []

        def stop(share: float) -> None:
            seen.append(share)
            raise Stopped

        with pytest.raises(Stopped):
            measure(rec, vitviz.explain(rec, "random"), progress=stop)
        assert len(seen) == 1

    def test_the_size_of_a_batch_changes_nothing(
        self, rec: Recording, measure: Measure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heat = vitviz.explain(rec, "relevance")
        whole = numbers(measure(rec, heat))
        monkeypatch.setattr("vitviz.progress.TOKENS_AT_ONCE", 1)
        np.testing.assert_allclose(numbers(measure(rec, heat)), whole, atol=1e-5)

    def test_no_target_is_the_top_prediction(self, rec: Recording, measure: Measure) -> None:
        heat = vitviz.explain(rec, "random")
        top = measure(rec, heat, rec.predictions[0].index)
        assert np.array_equal(numbers(measure(rec, heat)), numbers(top))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
class TestRefusals:
    def test_a_class_that_is_not_there(self, rec: Recording, measure: Measure) -> None:
        with pytest.raises(vitviz.MethodError, match="no class 5"):
            measure(rec, vitviz.explain(rec, "random"), 5)

    def test_a_model_without_a_classifier(self, photo: Image.Image, measure: Measure) -> None:
        module = random_module("vit")
        module.reset_classifier(0)
        rec = vitviz.record(vitviz.from_module(module), photo)
        with pytest.raises(vitviz.MethodError, match=r"no classifier, and .* is about a class"):
            measure(rec, vitviz.explain(rec, "random"))

    def test_a_model_in_half_precision(self, photo: Image.Image, measure: Measure) -> None:
        rec = vitviz.record(vitviz.from_module(random_classifier("vit").bfloat16()), photo)
        with pytest.raises(vitviz.MethodError, match="not in float32"):
            measure(rec, vitviz.explain(rec, "random"))

    def test_a_map_of_another_grid(self, rec: Recording, measure: Measure) -> None:
        with pytest.raises(vitviz.MethodError, match="6 × 4 patches and the recording 4 × 6"):
            measure(rec, heatmap(np.arange(24).reshape(6, 4)))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
class TestAMapIsMeasuredForWhatItExplains:
    def test_its_own_class_is_the_measured_one(self, rec: Recording, measure: Measure) -> None:
        last = rec.predictions[-1].index
        heat = vitviz.explain(rec, "relevance", target=last)
        own = numbers(measure(rec, heat))
        assert np.array_equal(own, numbers(measure(rec, heat, last)))
        unknown = replace(heat, made_from=None)
        assert np.array_equal(own, numbers(measure(rec, unknown, last)))
        if measure in CURVES.values():  # the others are a few numbers, which may be the same
            assert not np.array_equal(own, numbers(measure(rec, unknown)))

    def test_another_class_is_refused(self, rec: Recording, measure: Measure) -> None:
        last = rec.predictions[-1]
        heat = vitviz.explain(rec, "gradcam", target=last.index)
        match = (
            f"explains class {last.index}, {last.label}, and .* for class {(last.index + 1) % 5}"
        )
        with pytest.raises(vitviz.MethodError, match=match):
            measure(rec, heat, (last.index + 1) % 5)
        finer = replace(heat.shares, box=(0.0, 0.0, 2.0, 2.0))
        with pytest.raises(vitviz.MethodError, match="explains class"):
            measure(rec, finer, (last.index + 1) % 5)

    def test_a_map_of_every_class_is_measured_for_any(
        self, rec: Recording, measure: Measure
    ) -> None:
        heat = vitviz.explain(rec, "attention")
        top = rec.predictions[0].index
        assert np.array_equal(numbers(measure(rec, heat)), numbers(measure(rec, heat, top)))
        measure(rec, heat, rec.predictions[-1].index)

    def test_a_map_of_another_photo_or_model_is_refused(
        self, rec: Recording, photo: Image.Image, measure: Measure
    ) -> None:
        turned = vitviz.record(rec.vit, photo.rotate(180))
        module = random_classifier("vit")
        nn.init.normal_(module.head.weight, generator=torch.Generator().manual_seed(9))
        other = vitviz.record(vitviz.from_module(module), photo)
        assert turned.grid == other.grid == rec.grid
        for elsewhere in (turned, other):
            heat = vitviz.explain(elsewhere, "attention")
            with pytest.raises(vitviz.MethodError, match="another photo or another model"):
                measure(rec, heat)
            measure(rec, replace(heat, made_from=None))
            measure(rec, vitviz.explain(elsewhere, "random"))  # it knows nothing of either


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (partial(deletion, steps=0), "steps must be a whole number from 1, not 0"),
        (partial(insertion, steps=2.5), "steps of insertion must be a whole number, not float"),
        (partial(saco, groups=1), "from 2 to 24, not 1"),
        (partial(saco, groups=25), "from 2 to 24, not 25"),
        (partial(masked_input, share=1.01, change="deletion"), "from 0 to 1, not 1.01"),
        (partial(masked_input, share=float("nan"), change="deletion"), "not nan"),
        (partial(masked_input, share=0.5, change="removal"), "no change “removal”"),
    ],
)
def test_what_cannot_be_asked(rec: Recording, ask: Measure, match: str) -> None:
    with pytest.raises(vitviz.VitvizError, match=match):
        ask(rec, vitviz.explain(rec, "random"))
