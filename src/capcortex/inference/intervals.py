"""Confidence intervals of means and of ratios of means."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


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
    half = float(stats.t.isf((1 - confidence) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size))
    return Interval(mean, mean - half, mean + half)


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """Ratio of two means over the same subjects, with Fieller's interval.

    The interval holds every ratio ``q`` for which the mean of ``numerator - q denominator`` does not differ from zero by a
    two-sided t-test at level ``1 - confidence``. It takes the covariance of both into account.

    Parameters
    ----------
    numerator, denominator : shape (n_subjects,)
        Paired values.
    confidence
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    Interval or None
        None when the denominator's own interval reaches zero: a ratio to a ceiling that may be nothing says nothing.

    References
    ----------
    Fieller 1954, doi 10.1111/j.2517-6161.1954.tb00159.x.
    """
    a, b = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"numerator has {a.size} subjects, denominator {b.size}")
    if a.size < 2 or not mean_interval(b, confidence).low > 0:
        return None
    n = a.size
    t2 = stats.t.isf((1 - confidence) / 2, n - 1) ** 2
    (vaa, vab), (_, vbb) = np.cov(a, b) / n
    # Roots of (mean_a - q mean_b)^2 = t^2 (vaa - 2 q vab + q^2 vbb).
    p2 = b.mean() ** 2 - t2 * vbb
    p1 = a.mean() * b.mean() - t2 * vab
    p0 = a.mean() ** 2 - t2 * vaa
    root = np.sqrt(max(p1**2 - p2 * p0, 0.0))
    return Interval(float(a.mean() / b.mean()), float((p1 - root) / p2), float((p1 + root) / p2))
