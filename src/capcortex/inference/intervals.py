"""Confidence intervals of means, and of statistics of all subjects together."""

from typing import NamedTuple

import numpy as np
import scipy  # reads scipy.stats at its first use, which takes as long as all else that a script imports
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """An estimate with its confidence limits."""

    estimate: float
    low: float
    high: float


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean with Student's t interval.

    Parameters
    ----------
    values : shape (n,)
        Independent values, for example one per subject.
    confidence
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    Interval
        Limits are NaN with fewer than two values.
    """
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if x.size < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(scipy.stats.t.isf((1 - confidence) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size))
    return Interval(mean, mean - half, mean + half)


def unpaired_interval(left: ArrayLike, right: ArrayLike, confidence: float = 0.95) -> Interval:
    """Difference of two means with the interval of the unpaired t-test; see `capcortex.inference.tests.unpaired_t`.

    Parameters
    ----------
    left, right : shape (n,)
        Values that are taken to be independent.
    confidence
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    Interval
        Limits are NaN with fewer than two values on a side.
    """
    x, y = (np.asarray(side, dtype=np.float64) for side in (left, right))
    difference = float(x.mean() - y.mean())
    if min(x.size, y.size) < 2:
        return Interval(difference, float("nan"), float("nan"))
    limits = scipy.stats.ttest_ind(x, y).confidence_interval(confidence)
    return Interval(difference, float(limits.low), float(limits.high))


def jackknife_interval(estimate: float, replicates: ArrayLike, confidence: float = 0.95) -> Interval:
    """Interval of a statistic of all subjects together, from the statistic with each subject left out in turn.

    ``se^2 = (n - 1) / n  sum_j (replicate_j - mean of replicates)^2``, and Student's t with ``n - 1`` degrees of freedom.
    For statistics whose values per subject depend on each other, as those of a between-subject ceiling do: there a t interval
    over the subjects' values is far too narrow.

    Parameters
    ----------
    estimate
        The statistic of all n subjects.
    replicates : shape (n,)
        The statistic without subject 1, 2, .. n.
    confidence
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    Interval
        Limits are NaN with fewer than two replicates.

    References
    ----------
    Efron and Stein 1981, doi 10.1214/aos/1176345462.
    """
    x = np.asarray(replicates, dtype=np.float64)
    if x.size < 2:
        return Interval(float(estimate), float("nan"), float("nan"))
    error = np.sqrt((x.size - 1) / x.size * np.sum((x - x.mean()) ** 2))
    half = float(scipy.stats.t.isf((1 - confidence) / 2, x.size - 1) * error)
    return Interval(float(estimate), float(estimate) - half, float(estimate) + half)
