"""Methods compared on one photo, and the page that shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from families import random_classifier
from PIL import Image

import vitviz
from vitviz.measures.comparison import (
    CHANGES,
    SEEDS,
    Measured,
    mean_curve,
    measure,
    ranked,
    supported,
    too_close,
)
from vitviz.measures.curves import quick_curve
from vitviz.measures.faithfulness import Curve, deletion, insertion, versus_random


@pytest.fixture
def rec(photo: Image.Image) -> vitviz.Recording:
    return vitviz.record(vitviz.from_module(random_classifier("vit")), photo)


def test_a_method_is_measured_as_faithfulness_measures_it(rec: vitviz.Recording) -> None:
    target = rec.predictions[1].index
    found = measure(rec, "relevance", target)
    heat = vitviz.explain(rec, "relevance", target=target)
    np.testing.assert_array_equal(found.heat.values, heat.values)
    removed = deletion(rec, heat, target)
    revealed = insertion(rec, heat, target)
    np.testing.assert_array_equal(found.deletion.values, removed.values)
    np.testing.assert_array_equal(found.insertion.values, revealed.values)
    assert found.score == pytest.approx(revealed.area - removed.area)
    assert found.deviation == 0


def test_random_order_is_the_mean_of_several(rec: vitviz.Recording) -> None:
    found = measure(rec, "random")

    def score(heat: vitviz.Heatmap) -> float:
        return insertion(rec, heat).area - deletion(rec, heat).area

    mean, deviation = versus_random(rec, score, SEEDS)
    assert found.score == pytest.approx(float(mean))
    assert found.deviation == pytest.approx(float(deviation))


@pytest.mark.parametrize("method", ["attention", "occlusion", "random"])
def test_progress_rises_to_the_end(rec: vitviz.Recording, method: str) -> None:
    shares: list[float] = []
    measure(rec, method, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def made_up(method: str, removed: float, revealed: float, deviation: float = 0.0) -> Measured:
    heat = vitviz.Heatmap(np.ones((2, 2), np.float32), (0, 0, 1, 1), method)
    curves = (Curve(np.array([0.0, 1.0]), np.array([area, area])) for area in (removed, revealed))
    return Measured(method, heat, *curves, deviation)


def test_the_best_is_first_and_must_beat_random_clearly() -> None:
    best, middle = made_up("legrad", 0.1, 0.6), made_up("rollout", 0.3, 0.4)
    baseline = made_up("random", 0.3, 0.35, deviation=0.03)
    order = ranked([baseline, best, middle])
    assert [m.method for m in order] == ["legrad", "rollout", "random"]
    assert supported(best, baseline)
    assert not supported(middle, baseline)  # 0.05 above, two deviations are 0.06


def test_methods_with_close_scores_are_measured_more_finely() -> None:
    scores = {"legrad": 0.5, "relevance": 0.48, "rollout": 0.3, "gradcam": 0.1, "random": 0.08}
    found = [made_up(method, 0.0, score) for method, score in scores.items()]
    assert set(too_close(found)) == {"legrad", "relevance", "gradcam"}  # random has five maps
    assert too_close(found[1:4]) == []
    assert too_close([]) == []


def test_a_mean_of_curves_with_different_points() -> None:
    few = Curve(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.4, 0.0]))
    more = Curve(np.array([0.0, 0.25, 0.5, 1.0]), np.array([0.8, 0.6, 0.2, 0.0]))
    mean = mean_curve([few, more])
    np.testing.assert_allclose(mean.shares, [0, 0.25, 0.5, 1])
    np.testing.assert_allclose(mean.values, [0.9, (0.7 + 0.6) / 2, 0.3, 0])
    assert mean.area == pytest.approx((few.area + more.area) / 2)


def test_quick_random_orders_share_one_tolerance(rec: vitviz.Recording) -> None:
    found = measure(rec, "random", tolerance=1e-4)
    scores = []
    for heat in (vitviz.explain(rec, "random", seed=seed) for seed in range(SEEDS)):
        removed, revealed = (
            quick_curve(rec, heat, change, tolerance=1e-4 * SEEDS**0.5) for change in CHANGES
        )
        scores.append(revealed.area - removed.area)
    assert found.score == pytest.approx(np.mean(scores))
    assert found.deviation == pytest.approx(np.std(scores, ddof=1))


def test_shares_of_a_map_sum_to_one_and_an_empty_map_stays() -> None:
    heat = made_up("rollout", 0, 0).heat
    assert heat.shares.values.sum() == pytest.approx(1)
    assert heat.shares.box == heat.box
    empty = replace(heat, values=np.zeros((2, 2), np.float32))
    assert (empty.shares.values == 0).all()
