"""Tests over subjects, and the correction for many of them; the statistics themselves are scipy's."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

TOO_FEW = "tests and intervals over subjects need at least two subjects"
"""Why a result has neither test nor interval."""


def one_sample_t(values: ArrayLike) -> tuple[float, float]:
    """Two-sided one-sample t-test against zero.

    Parameters
    ----------
    values : shape (n_subjects,)

    Returns
    -------
    t, p : float
        NaN with fewer than two subjects.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return float("nan"), float("nan")
    result = stats.ttest_1samp(x, 0.0)
    return float(result.statistic), float(result.pvalue)


def false_discovery_adjusted(p: ArrayLike) -> NDArray[np.float64]:
    """Benjamini-Hochberg adjusted p-values over those that are defined.

    Parameters
    ----------
    p
        p-values of one family, of any shape. NaN stands for a test that could not be made: it stays NaN and does not
        count in the family, so that one undefined test changes no other.

    Returns
    -------
    ndarray of the shape of ``p``, float64

    References
    ----------
    Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    defined = np.isfinite(values)
    if defined.any():
        adjusted[defined] = stats.false_discovery_control(values[defined], method="bh")
    return adjusted
