"""95 % intervals of a mean over photos: of as many as were chosen before, or as it took."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVEL", "Interval", "bootstrap_interval", "lasting_interval"]

Interval = tuple[float, float]

LEVEL = 0.05  # how often an interval may miss the mean
RESAMPLES = 2000
LARGEST = 0.75  # weight of a value, one of the authors' two

Values = NDArray[np.float64]


def bootstrap_interval(values: Values) -> Interval:
    """Percentile bootstrap interval of the mean; the values are drawn with replacement.

    True of a number of values that was chosen without looking at them.
    """
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)


def lasting_interval(values: Values, bounds: Interval) -> Interval:
    """An interval of the mean that stays true if one stops as soon as it pleases.

    With a probability of 95 % the mean lies in the intervals after 1, 2, 3, … values all at once,
    whatever the values' distribution within their bounds: the predictable plug-in empirical
    Bernstein confidence sequence of Waudby-Smith & Ramdas 2024, arXiv 2010.09686. Each value is
    weighted by what the values before it say, and so is the middle of the interval. It is wider
    than an interval of a number of values that was chosen before.

    Args:
        values: one a photo, in the order in which they were measured.
        bounds: the smallest and the largest that a value can be.

    Examples:
        >>> lasting_interval(np.zeros(1), (0, 1))  # one value alone says nothing
        (0.0, 1.0)
        >>> low, high = lasting_interval(np.full(1000, 0.5), (0, 1))
        >>> round(low, 3), round(high, 3)
        (0.495, 0.505)
    """
    low, high = bounds
    shares = (values - low) / (high - low)
    count = np.arange(1, len(shares) + 1)
    means = (0.5 + shares.cumsum()) / (count + 1)
    variances = (0.25 + np.square(shares - means).cumsum()) / (count + 1)
    known_mean = np.append(0.5, means[:-1])
    known_variance = np.append(0.25, variances[:-1])
    error = np.log(2 / LEVEL)
    best = np.sqrt(2 * error / (known_variance * count * np.log1p(count)))
    weights = np.minimum(best, LARGEST)
    deviations = np.square(shares - known_mean) @ (-np.log1p(-weights) - weights)
    middle = weights @ shares / weights.sum()
    half = (error + deviations) / weights.sum()
    ends = np.clip([middle - half, middle + half], 0, 1)
    return tuple((low + (high - low) * ends).tolist())
