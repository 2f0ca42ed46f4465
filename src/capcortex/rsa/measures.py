"""Measures by which two representational dissimilarity matrices (RDMs) are compared.

`capcortex.rsa.rdm` makes the RDMs. Every measure brings an RDM into a form in which the comparison of two is a product
(`standardised`), so that the same few lines compare two RDMs, many with many, and a subject with the mean of subjects.
"""

from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MEASURES = ("pearson", "spearman", "rho-a", "tau-a", "whitened-cosine")

LEAST_PAIRS = 3
"""Pairs that a comparison needs: two points always lie on a line."""

ROUNDING = 1e-12
"""What is smaller than this, relative to the values it comes from, is taken for a rounding error of 0."""


def n_images_of(pairs: int) -> int:
    """Return the number of images that have so many pairs.

    Raises
    ------
    ValueError
        If no number of images has.
    """
    n_images = (1 + isqrt(1 + 8 * pairs)) // 2
    if n_images * (n_images - 1) // 2 != pairs:
        raise ValueError(f"no number of images has {pairs} pairs; expected the n (n - 1) / 2 pairs of a whole RDM")
    return n_images


def compare_rdms(
    left: NDArray[np.floating], right: NDArray[np.floating], measure: str = "pearson"
) -> tuple[float, int]:
    r"""Compare two RDMs over the pairs that both define.

    With x and y the distances of the n pairs that both define, and R their ranks (ties have their average rank):

    ``pearson``: correlation of x and y.

    ``spearman``: correlation of R(x) and R(y).

    ``rho-a``: mean of Spearman's correlation over all ways of breaking ties,
    ``12 sum(R(x) R(y)) / (n^3 - n) - 3 (n + 1) / (n - 1)`` (Schuett et al. 2023). Without ties it is Spearman's. With ties
    Spearman's and Kendall's tau-b prefer a model that predicts ties to one that gives the same pairs a random order.

    ``tau-a``: concordant minus discordant pairs of distances, over all ``n (n - 1) / 2`` (Kendall 1938).

    ``whitened-cosine``: ``x' V^-1 y / sqrt(x' V^-1 x  y' V^-1 y)`` (Diedrichsen et al. 2021). V is, up to a factor, the
    covariance of the estimated squared distances of patterns that differ by independent noise alone: ``Xi = C C'`` with C
    the contrast of each pair, squared element by element. That is 4 on the diagonal, 1 for two pairs that share an image
    and 0 otherwise, so that ``V = 2 I + A A'`` with A (pair, image) 1 where an image belongs to a pair; undefined pairs are
    left out of both. By Woodbury's identity ``V^-1 = (I - A (2 I + A' A)^-1 A') / 2``, a solution of the size of the images.
    Distances are compared with their zero, not with their mean: where both sides are positive on average even unrelated RDMs
    have a cosine far above 0, and a model whose distances are all alike has a high one (see `why_no_zero`).

    Distances are rounded to 1e-12 of the largest, so that rounding errors make no order; what is equal then is a tie.

    Parameters
    ----------
    left, right : ndarray of shape (n_pairs,)
        Distances of the same pairs in the same order (row-major upper triangle for ``whitened-cosine``); NaN where a pair
        is not defined.
    measure
        One of `MEASURES`.

    Returns
    -------
    value : float
        NaN if fewer than three pairs are left or one side does not vary; for ``whitened-cosine`` if one side is zero.
    n_used : int
        Pairs used.

    Raises
    ------
    ValueError
        If the measure is unknown; for ``whitened-cosine`` also if n_pairs is not that of any number of images.

    References
    ----------
    Schuett et al. 2023, doi 10.7554/eLife.82566. Diedrichsen et al. 2021, doi 10.48550/arXiv.2007.02789.
    """
    both = np.isfinite(left) & np.isfinite(right)
    a, b = (standardised(np.asarray(side)[both][None], measure, both) for side in (left, right))
    return float(_products(a, b, measure, both)[0, 0]), int(both.sum())


def compare_each(left: NDArray[np.floating], right: NDArray[np.floating], measure: str) -> NDArray[np.float64]:
    """Compare every RDM on the left with every RDM on the right, as `compare_rdms` does.

    Parameters
    ----------
    left : ndarray of shape (n_left, n_pairs)
    right : ndarray of shape (n_right, n_pairs)
        RDMs of the same images that define all pairs.
    measure
        One of `MEASURES`.

    Returns
    -------
    ndarray of shape (n_left, n_right), float64
        NaN as for `compare_rdms`.

    Raises
    ------
    ValueError
        If a pair is not defined, or as for `compare_rdms`.
    """
    for name, side in (("left", left), ("right", right)):
        undefined = ~np.isfinite(side)
        if undefined.any():
            row = int(np.flatnonzero(undefined.any(axis=1))[0])
            raise ValueError(
                f"RDM {row} on the {name} does not define {undefined[row].sum()} of its {side.shape[1]} pairs, expected all: "
                "compare_rdms leaves undefined pairs out"
            )
    used = np.ones(left.shape[1], dtype=bool)
    return _products(standardised(left, measure, used), standardised(right, measure, used), measure, used)


def standardised(rdms: NDArray[np.floating], measure: str, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bring RDMs into the form in which a measure compares them.

    For all measures but ``tau-a`` the comparison of x and y is the product of their forms, for ``whitened-cosine`` with
    ``V^-1`` between them.

    Parameters
    ----------
    rdms : ndarray of shape (n_rdms, n_used)
        Distances of the pairs used, finite.
    measure
        One of `MEASURES`.
    used : ndarray of shape (n_pairs,), bool
        Which pairs of the images those are.

    Returns
    -------
    ndarray of shape (n_rdms, n_used), float64
        ``pearson``: centred, of length 1. ``spearman``: the same of ranks. ``rho-a`` and ``tau-a``: centred ranks, of length 1 if
        they have no ties. ``whitened-cosine``: ``x / sqrt(x' V^-1 x)``. An RDM that has no value under the measure is NaN.

    Raises
    ------
    ValueError
        As for `compare_rdms`.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r} is not one of {', '.join(MEASURES)}")
    rows = np.array(rdms, dtype=np.float64)
    n = rows.shape[1]
    if n < LEAST_PAIRS:
        return np.full_like(rows, np.nan)
    if measure == "whitened-cosine":
        squares = np.einsum("rp,rp->r", rows, solve_pair_covariance(rows, used))
        return rows / np.sqrt(np.where(squares > 0, squares, np.nan))[:, None]
    largest = np.abs(rows).max(axis=1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1)
    # Relative to the distances themselves: centring equal distances leaves rounding errors, not zeros.
    length[length <= ROUNDING * largest * np.sqrt(n)] = np.nan
    if measure == "pearson":
        return centred / length[:, None]
    varies = np.isfinite(length)
    ranks = np.full_like(rows, np.nan)
    ranks[varies] = _centred_ranks(rows[varies] / largest[varies, None])
    if measure == "spearman":
        return ranks / np.linalg.norm(ranks, axis=1, keepdims=True)
    return ranks * np.sqrt(12 / (float(n) ** 3 - n))


def solve_pair_covariance(rdms: NDArray[np.float64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``V^-1 x`` for RDMs x, with V the covariance of distances of pairs that share images (see `compare_rdms`).

    Parameters
    ----------
    rdms : ndarray of shape (n_rdms, n_used)
    used : ndarray of shape (n_pairs,), bool
        Which pairs of the images those are, in row-major upper-triangle order.

    Returns
    -------
    ndarray of shape (n_rdms, n_used), float64

    Raises
    ------
    ValueError
        If n_pairs is not the number of pairs of any number of images.
    """
    incidence = _images_of_pairs(used)
    inner = (incidence.T @ incidence).toarray()
    np.fill_diagonal(inner, inner.diagonal() + 2)
    return (rdms - (incidence @ np.linalg.solve(inner, incidence.T @ rdms.T)).T) / 2


def why_no_zero(measure: str) -> str:
    """Say why a measure cannot be tested against 0, nor divided by a ceiling; empty if it can.

    The whitened cosine is 0 where a region tells no images apart, which cross-validated distances show without bias. It is not 0
    for an unrelated model: where a region tells images apart its distances are positive on average, as a model's are.

    Parameters
    ----------
    measure
        One of `MEASURES`.
    """
    if measure == "whitened-cosine":
        return "0 of the whitened cosine means a region that tells no images apart, not a model that has nothing to do with it"
    return ""


def _products(
    left: NDArray[np.float64], right: NDArray[np.float64], measure: str, used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    if used.sum() < LEAST_PAIRS:
        return np.full((len(left), len(right)), np.nan)
    if measure == "tau-a":
        return _kendall(left, right)
    if measure == "whitened-cosine":
        right = solve_pair_covariance(right, used)
    return np.clip(left @ right.T, -1, 1)


def _kendall(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kendall's tau-a from scipy's tau-b, which differs by the shares of pairs of distances that are not tied."""
    from scipy.stats import kendalltau

    untied = [np.sqrt([_share_untied(row) for row in side]) for side in (left, right)]
    values = np.outer(untied[0], untied[1])
    for i, j in np.argwhere(np.isfinite(values)):
        values[i, j] *= kendalltau(left[i], right[j], method="asymptotic").statistic
    return values


def _share_untied(row: NDArray[np.float64]) -> float:
    if not np.isfinite(row).all():
        return float("nan")
    ties = np.unique(row, return_counts=True)[1].astype(np.float64)
    return float(1 - ties @ (ties - 1) / (row.size * (row.size - 1.0)))


def _centred_ranks(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of each row minus their mean, of values whose largest size is 1; what rounding set apart is tied again."""
    from scipy.stats import rankdata

    return rankdata(np.round(rows / ROUNDING), axis=1) - (rows.shape[1] + 1) / 2


def _images_of_pairs(used: NDArray[np.bool_]) -> "csr_array":
    """Which images the pairs used are made of: 1 or 0, shape (n_used, n_images)."""
    from scipy.sparse import csr_array

    n_images = n_images_of(used.size)
    pairs = np.column_stack(np.triu_indices(n_images, k=1))[used]
    shape = (len(pairs), n_images)
    return csr_array((np.ones(pairs.size), pairs.ravel(), np.arange(0, pairs.size + 1, 2)), shape=shape)
