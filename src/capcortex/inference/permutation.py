"""Inference within one subject: would any labelling of the images relate a region to a model as well as the true one."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.inference.resampled import WHITENED, compare_defined, correlation_of_sums, unit_spread
from capcortex.inference.tests import false_discovery_adjusted
from capcortex.rsa.measures import ROUNDING, n_images_of, solve_pair_covariance, standardised

PERMUTATION_COLUMNS = ["model", "roi", "subject", "r", "p", "n_permutations", "measure"]
"""Columns of a table with one permutation test for each model, region and subject."""

BLOCK_CELLS = 2**21  # permutations times pairs held at once: 16 MB


def permute_images(
    regions: NDArray[np.floating],
    model: NDArray[np.floating],
    *,
    measure: str,
    n_permutations: int,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Mantel test of a model in every region of one subject: the model's images change places within each image set.

    Null: for this subject the labels of the model's images are exchangeable within a set. The statistic is the mean over
    sets of the comparison, over those on which it is defined. With k of n random permutations whose statistic is as far
    from zero as the observed one, or farther::

        p = (1 + k) / (1 + n)

    which counts the observed order among the permutations: p is at least 1 / (1 + n), and at most alpha with probability
    at most alpha under the null, with any n.

    Parameters
    ----------
    regions : ndarray of shape (n_image_sets, n_rois, n_pairs)
        RDMs of the subject's regions; NaN where a pair is not defined.
    model : ndarray of shape (n_image_sets, n_pairs)
        RDMs of the model on the same sets. Undefined pairs change places with their images; pairs that either side does not
        define are left out.
    measure
        One of `capcortex.rsa.measures.MEASURES`.
    n_permutations
        Number of permutations, the same for all regions.
    rng
        Source of the permutations.

    Returns
    -------
    Dataset (roi)
        ``r``, the observed statistic, and its two-sided ``p``; NaN where the statistic is not defined. A permutation under
        which it is not defined counts as farther from zero.

    Raises
    ------
    ValueError
        If the RDMs are not of the same sets and pairs, or their number of pairs is not that of a whole set.

    References
    ----------
    Mantel 1967, Cancer Research 27, 209-220; Phipson and Smyth 2010, doi 10.2202/1544-6115.1585.
    """
    n_sets, n_rois, n_pairs = regions.shape
    if model.shape != (n_sets, n_pairs):
        raise ValueError(
            f"regions and model: expected the same image sets and pairs, found {regions.shape} and {model.shape}"
        )
    n_images = n_images_of(n_pairs)
    total = np.zeros((n_permutations + 1, n_rois))
    count = np.zeros(total.shape, dtype=np.int64)
    orders = np.tile(np.arange(n_images), (n_permutations + 1, 1))
    for of_regions, of_model in zip(regions, model, strict=True):
        # The first order is that of the images themselves.
        orders[1:] = rng.permuted(orders[1:], axis=1)
        values = _compare_orders(of_regions, of_model, orders, measure)
        defined = np.isfinite(values)
        total += np.where(defined, values, 0)
        count += defined
    statistic = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    # Equal sums added in another order differ in their last bits: they count as equal.
    nearer = np.abs(statistic[1:]) < np.abs(statistic[0]) - ROUNDING
    p = (1 + (~nearer).sum(axis=0)) / (1 + n_permutations)
    return xr.Dataset({"r": ("roi", statistic[0]), "p": ("roi", np.where(np.isfinite(statistic[0]), p, np.nan))})


def tabulate_permutations(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the permutation tests of all models, and correct p over all of them: one family.

    Parameters
    ----------
    tables
        With the columns `PERMUTATION_COLUMNS`, one for each model.

    Returns
    -------
    DataFrame
        The same rows with ``p_adjusted`` (Benjamini-Hochberg) after ``p``.
    """
    table = pd.concat(tables, ignore_index=True)[PERMUTATION_COLUMNS]
    table.insert(PERMUTATION_COLUMNS.index("p") + 1, "p_adjusted", false_discovery_adjusted(table["p"].to_numpy()))
    return table


def _places(orders: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """For blocks of orders (order, image): where in the flat square RDM the distance of every pair stands (order, pair)."""
    n_images = orders.shape[1]
    first, second = np.triu_indices(n_images, k=1)
    height = max(1, BLOCK_CELLS // first.size)
    for start in range(0, len(orders), height):
        block = orders[start : start + height]
        yield np.take(block * n_images, first, axis=1) + np.take(block, second, axis=1)


def _square(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """Flat square of a vector of pairs, both triangles."""
    n_images = n_images_of(vector.size)
    square = np.zeros((n_images, n_images))
    square[np.triu_indices(n_images, k=1)] = vector
    return (square + square.T).ravel()


def _compare_orders(
    regions: NDArray[np.floating], model: NDArray[np.floating], orders: NDArray[np.int64], measure: str
) -> NDArray[np.float64]:
    """Compare (order, roi) in one set."""
    if measure != "tau-a" and np.isfinite(regions).all() and np.isfinite(model).all():
        return _product_of_orders(regions, model, orders, measure)
    if measure == "pearson":
        return _pearson_of_orders(regions, model, orders)
    return _compare_one_by_one(regions, model, orders, measure)


def _product_of_orders(
    regions: NDArray[np.floating], model: NDArray[np.floating], orders: NDArray[np.int64], measure: str
) -> NDArray[np.float64]:
    """Compare complete RDMs: where all pairs are defined, centring, ranking and whitening do not depend on the order."""
    used = np.ones(model.size, dtype=bool)
    x, y = standardised(regions, measure, used), standardised(model[None], measure, used)[0]
    if measure == WHITENED:
        x = solve_pair_covariance(x, used)
    square = _square(y)
    return np.concatenate([np.take(square, places) @ x.T for places in _places(orders)])


def _pearson_of_orders(
    regions: NDArray[np.floating], model: NDArray[np.floating], orders: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Pearson's r of RDMs with undefined pairs, from sums over the pairs that both define under each order."""
    x, x_defined = unit_spread(regions)
    y, y_defined = unit_spread(model)
    square, defined, present = _square(y), _square(y_defined.astype(np.float64)), x_defined.astype(np.float64)
    r = []
    for places in _places(orders):
        moved, mask = np.take(square, places), np.take(defined, places)
        r.append(
            correlation_of_sums(
                n=mask @ present.T,
                left=mask @ x.T,
                right=moved @ present.T,
                left_squares=mask @ (x**2).T,
                right_squares=moved**2 @ present.T,
                products=moved @ x.T,
            )
        )
    return np.concatenate(r)


def _compare_one_by_one(
    regions: NDArray[np.floating], model: NDArray[np.floating], orders: NDArray[np.int64], measure: str
) -> NDArray[np.float64]:
    square = _square(model)
    places = (row for block in _places(orders) for row in block)
    return np.array([compare_defined(regions, square[None, row], measure)[:, 0] for row in places])
