"""Tests over subjects, and the corrections for many of them.

The statistics are scipy's where scipy has them. Every test is two-sided. What each one claims, and how often it errs in simulated
studies, is in docs/calibration.md.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

TOO_FEW = "tests and intervals over subjects need at least two subjects"
"""Why a result has neither test nor interval."""

BLOCK_CELLS = 2**20  # flips times vertices held at once: 8 MB
ROUNDING = 1e-12  # differences below this share of the values are rounding, not data


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
    result = scipy.stats.ttest_1samp(x, 0.0)
    return float(result.statistic), float(result.pvalue)


def unpaired_t(left: ArrayLike, right: ArrayLike) -> tuple[float, float]:
    """Two-sided t-test of two groups as if they were of different people, with pooled variance.

    Not a test of this study: both models are compared with the same subjects. It is here because the released code uses it.

    Parameters
    ----------
    left, right : shape (n_subjects,)

    Returns
    -------
    t, p : float
        NaN with fewer than two values on a side.
    """
    x, y = (np.asarray(side, dtype=np.float64) for side in (left, right))
    if min(x.size, y.size) < 2:
        return float("nan"), float("nan")
    result = scipy.stats.ttest_ind(x, y)
    return float(result.statistic), float(result.pvalue)


def equivalence(values: ArrayLike, bound: float) -> float:
    """p-value of the claim that a mean lies within ``± bound``: two one-sided t-tests, the larger p.

    A difference that is not significant is no evidence of no difference. This is the test to use for that claim.

    Parameters
    ----------
    values : shape (n_subjects,)
        For two models the differences, subject by subject.
    bound
        The largest mean that still counts as none, above 0.

    Returns
    -------
    float
        NaN with fewer than two subjects.

    Raises
    ------
    ValueError
        If the bound is not above 0.

    References
    ----------
    Schuirmann 1987, doi 10.1007/BF01068419.
    """
    if not bound > 0:
        raise ValueError(f"equivalence bound: found {bound}, expected a number above 0")
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return float("nan")
    above = scipy.stats.ttest_1samp(x, -bound, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(x, bound, alternative="less").pvalue
    return float(max(above, below))


def sign_flip(values: ArrayLike) -> float:
    """Exact two-sided sign-flip test of a mean against zero.

    If the subjects' values are symmetric about zero, every way to flip their signs was equally likely::

        p = share of the 2^n flips, identity included, for which |mean of s_i x_i| >= |mean of x_i|

    Parameters
    ----------
    values : shape (n_subjects,)

    Returns
    -------
    float
        At least `least_sign_flip_p`, never 0. NaN with fewer than two subjects, or with a value that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2 or not np.isfinite(x).all():
        return float("nan")
    largest = np.abs(x).max()
    # Squares of tiny values would be 0.
    return float(sign_flip_p(x[:, None] / largest)[0]) if largest > 0 else 1.0


def least_sign_flip_p(n_subjects: int) -> float:
    """Return the smallest p that `sign_flip_p` can give: a flip and its opposite have one |t|."""
    return 2.0 ** (1 - n_subjects)


def sign_flip_p(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Family-wise p-values from all sign flips of whole subjects, with the maximum of |t| over vertices.

    If the subjects' maps are symmetric about zero, all 2^n ways to flip subjects' signs were equally likely::

        p(v) = share of flips, identity included, for which max over w of |t(w)| >= observed |t(v)|

    The sum of squares does not change under flips, so that ``|t|`` grows with ``c = |sum_i s_i x_i| / sqrt(n sum_i x_i^2)``, the
    cosine between a vertex's values and the signs, which is compared in its place: at a flip that makes all values of a
    vertex equal t is infinite, c is 1. A flip and its opposite have one |t|; half of them are computed.

    Parameters
    ----------
    values : ndarray of shape (n_subjects, n_vertices)
        Finite, at least two subjects, no vertex with equal values for all subjects.

    Returns
    -------
    ndarray of shape (n_vertices,), float64
        At least `least_sign_flip_p`.

    References
    ----------
    Nichols and Holmes 2002, doi 10.1002/hbm.1058.
    """
    n_subjects, n_vertices = values.shape
    half = 2 ** (n_subjects - 1)
    # Bits of 0, 1, .. as signs. The last subject, whose bit is the highest, keeps its sign; row 0 is the identity.
    signs = 1.0 - 2 * (np.arange(half)[:, None] >> np.arange(n_subjects) & 1)
    observed = np.empty(n_vertices)
    largest = np.zeros(half)
    width = max(1, BLOCK_CELLS // half)
    for start in range(0, n_vertices, width):
        block = values[:, start : start + width]
        cosine = np.abs(signs @ (block / (np.sqrt(n_subjects) * np.linalg.norm(block, axis=0))))
        observed[start : start + width] = cosine[0]
        np.maximum(largest, cosine.max(axis=1), out=largest)
    # Equal sums added in another order differ in their last bits: they count as equal.
    return (half - np.searchsorted(np.sort(largest), observed - ROUNDING)) / half


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
        adjusted[defined] = scipy.stats.false_discovery_control(values[defined], method="bh")
    return adjusted


def holm_adjusted(p: ArrayLike) -> NDArray[np.float64]:
    """Holm adjusted p-values: those below alpha hold a chance of at most alpha of any false finding among them.

    ``adjusted_(k) = max over j <= k of min(1, (m - j + 1) p_(j))`` with the m p-values in ascending order.

    Parameters
    ----------
    p
        As for `false_discovery_adjusted`.

    Returns
    -------
    ndarray of the shape of ``p``, float64

    References
    ----------
    Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    defined = np.isfinite(values)
    family = values[defined]
    order = np.argsort(family, kind="stable")
    steps = np.minimum(1, np.arange(family.size, 0, -1) * family[order])
    in_order = np.empty(family.size)
    in_order[order] = np.maximum.accumulate(steps)
    adjusted[defined] = in_order
    return adjusted


CORRECTIONS = {"holm": holm_adjusted, "benjamini-hochberg": false_discovery_adjusted}
"""Corrections of a family of tests, by their names in the config."""
