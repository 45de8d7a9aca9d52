"""Intervals that stay true after a stop: against their definition, and how often they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vitviz.measures.intervals import bootstrap_interval, lasting_interval

UNIT = (0.0, 1.0)


def by_definition(values: list[float]) -> tuple[float, float]:
    """Waudby-Smith & Ramdas 2024, one value after another: bets from what is known before it."""
    total = weighted = weights = spread = 0.0
    squares = 0.25
    for t, x in enumerate(values, start=1):
        mean, variance = (0.5 + total) / t, squares / t
        weight = min(sqrt(2 * log(2 / 0.05) / (variance * t * log(1 + t))), 0.75)
        spread += 4 * (x - mean) ** 2 * (-log(1 - weight) - weight) / 4
        weighted, weights, total = weighted + weight * x, weights + weight, total + x
        squares += (x - (0.5 + total) / (t + 1)) ** 2
    half = (log(2 / 0.05) + spread) / weights
    return max(0.0, weighted / weights - half), min(1.0, weighted / weights + half)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_it_is_what_the_paper_defines(values: list[float]) -> None:
    assert lasting_interval(np.array(values), UNIT) == pytest.approx(by_definition(values))


def test_twenty_zeros_by_hand() -> None:
    """Bets are at the largest, 0.75, from the first on, whose known variance is 1/4."""
    means = [0.5 / t for t in range(1, 21)]
    spread = sum(mean**2 for mean in means) * (log(4) - 0.75)
    low, high = lasting_interval(np.zeros(20), UNIT)
    assert low == 0
    assert high == pytest.approx((log(40) + spread) / 15)


def test_bounds_are_a_unit() -> None:
    values = np.random.default_rng(0).beta(2, 3, 200)
    low, high = lasting_interval(values, UNIT)
    assert lasting_interval(2 * values - 1, (-1, 1)) == pytest.approx((2 * low - 1, 2 * high - 1))


def nearly_all(rng: np.random.Generator) -> NDArray[np.float64]:
    return (rng.random(600) < 0.97).astype(np.float64)


def of_a_curve(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.beta(0.5, 1.5, 600)


def misses(
    draw: Callable[..., NDArray[np.float64]],
    mean: float,
    interval: Callable[..., tuple[float, float]],
    width: float,
) -> float:
    """How often who stops at the first narrow interval is told a wrong one."""
    rng, missed = np.random.default_rng(1), 0
    for _ in range(200):
        values = draw(rng)
        for count in range(10, 601, 10):
            low, high = interval(values[:count])
            if high - low <= width:
                break
        missed += not low <= mean <= high
    return missed / 200


@pytest.mark.parametrize(
    ("draw", "mean", "width"), [(nearly_all, 0.97, 0.12), (of_a_curve, 0.25, 0.2)]
)
def test_who_stops_early_is_right_19_times_of_20(
    draw: Callable[..., NDArray[np.float64]], mean: float, width: float
) -> None:
    assert misses(draw, mean, lambda values: lasting_interval(values, UNIT), width) <= 0.05


def test_who_waits_for_a_bootstrap_interval_is_not() -> None:
    """Ten hits of ten have an interval of no width at all."""
    assert misses(nearly_all, 0.97, bootstrap_interval, 0.12) > 0.5


@pytest.mark.parametrize(("draw", "mean"), [(nearly_all, 0.97), (of_a_curve, 0.25)])
def test_all_intervals_of_a_run_hold_at_once(
    draw: Callable[..., NDArray[np.float64]], mean: float
) -> None:
    rng, missed = np.random.default_rng(2), 0
    for _ in range(200):
        values = draw(rng)
        intervals = [lasting_interval(values[:count], UNIT) for count in range(1, 601, 5)]
        missed += not all(low <= mean <= high for low, high in intervals)
    assert missed <= 10


def test_it_narrows_down_to_the_mean() -> None:
    values = np.random.default_rng(3).beta(2, 2, 100_000)
    width = inf
    for count in (100, 1000, 10_000, 100_000):
        low, high = lasting_interval(values[:count], UNIT)
        assert low < 0.5 < high
        assert high - low < width / 2
        width = high - low
    assert width < 0.01
