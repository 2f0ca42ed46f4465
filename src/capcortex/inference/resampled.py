"""Comparison of RDMs as bootstrap and permutation need it: of many draws of their pairs at once, some pairs undefined."""

import numpy as np
from numpy.typing import NDArray

from capcortex.rsa.measures import LEAST_PAIRS, ROUNDING, compare_each, solve_pair_covariance, standardised

WHITENED = "whitened-cosine"


def compare_defined(left: NDArray[np.floating], right: NDArray[np.floating], measure: str) -> NDArray[np.float64]:
    """Compare every RDM on the left with every one on the right over the pairs that both define, as `compare_rdms` does.

    RDMs that define the same pairs are ranked, or whitened, together.

    Parameters
    ----------
    left : ndarray of shape (n_left, n_pairs)
    right : ndarray of shape (n_right, n_pairs)
        NaN where a pair is not defined.
    measure
        One of `capcortex.rsa.measures.MEASURES`.

    Returns
    -------
    ndarray of shape (n_left, n_right), float64
    """
    values = np.empty((len(left), len(right)))
    left_masks, left_which = distinct_rows(np.isfinite(left))
    right_masks, right_which = distinct_rows(np.isfinite(right))
    for i, j in np.ndindex(len(left_masks), len(right_masks)):
        rows, columns = np.flatnonzero(left_which == i), np.flatnonzero(right_which == j)
        used = left_masks[i] & right_masks[j]
        a, b = left[rows][:, used], right[columns][:, used]
        if measure == WHITENED:
            a, b = standardised(a, measure, used), standardised(b, measure, used)
            values[np.ix_(rows, columns)] = a @ solve_pair_covariance(b, used).T
        else:
            values[np.ix_(rows, columns)] = compare_each(a, b, measure)
    return values


def distinct_rows(rows: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Find equal rows; ``numpy.unique`` along an axis is far slower for rows as long as an RDM.

    Returns
    -------
    distinct : ndarray of shape (n_distinct, n_columns)
    which : ndarray of shape (n_rows,)
        The distinct row that each row equals.
    """
    numbers: dict[bytes, int] = {}
    which = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in rows], dtype=np.intp)
    return rows[[int(np.argmax(which == number)) for number in range(len(numbers))]], which


def unit_spread(rdms: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bring RDMs to mean 0 and standard deviation 1 over their defined pairs, so that sums of squares keep their digits.

    Parameters
    ----------
    rdms : ndarray of shape (..., n_pairs)
        NaN where a pair is not defined.

    Returns
    -------
    values : ndarray of the shape of ``rdms``, float64
        0 where a pair is not defined, and throughout an RDM whose distances do not differ by more than rounding.
    defined : ndarray of the shape of ``rdms``, bool
    """
    defined = np.isfinite(rdms)
    count = np.maximum(defined.sum(axis=-1, keepdims=True), 1)
    filled = np.where(defined, rdms, 0.0).astype(np.float64)
    values = np.where(defined, filled - filled.sum(axis=-1, keepdims=True) / count, 0.0)
    spread = np.sqrt((values**2).sum(axis=-1, keepdims=True) / count)
    varies = spread > ROUNDING * np.abs(filled).max(axis=-1, keepdims=True, initial=0.0)
    return np.divide(values, spread, out=np.zeros_like(values), where=np.broadcast_to(varies, values.shape)), defined


def correlation_of_sums(
    *,
    n: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    left_squares: NDArray[np.float64],
    right_squares: NDArray[np.float64],
    products: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Pearson's r from sums over pairs of standardised RDMs: ``(xy - x y / n) / sqrt((xx - x x / n) (yy - y y / n))``.

    Parameters
    ----------
    n : ndarray
        Number of pairs, each counted as often as it occurs.
    left, right, left_squares, right_squares, products : ndarrays, broadcast with ``n``
        Sums of x, y, x^2, y^2 and x y over these pairs; x and y as `unit_spread` makes them.

    Returns
    -------
    ndarray, float64
        NaN with fewer than three pairs, and where one side does not vary over them (standard deviation below 1e-6 of that
        over all pairs of its RDM: what is less is rounding).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        left_spread = left_squares - left**2 / n
        right_spread = right_squares - right**2 / n
        r = (products - left * right / n) / np.sqrt(left_spread * right_spread)
    varies = (left_spread > ROUNDING * (left_squares + n)) & (right_spread > ROUNDING * (right_squares + n))
    return np.where((n >= LEAST_PAIRS) & varies, np.clip(r, -1, 1), np.nan)
