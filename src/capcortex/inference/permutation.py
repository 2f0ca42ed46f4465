"""Inference within one subject: is a region's RDM related to a model's on these images, or would any labelling of them do?"""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.inference.moments import correlation_of_sums, standardise
from capcortex.rsa.rdm import ROUNDING, compare_rdms, n_images_of

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
    compare = _pearson_of_orders if measure == "pearson" else _compare_orders
    orders = np.tile(np.arange(n_images), (n_permutations + 1, 1))
    for of_regions, of_model in zip(regions, model, strict=True):
        # The first order is that of the images themselves.
        orders[1:] = rng.permuted(orders[1:], axis=1)
        values = compare(of_regions, of_model, orders, measure)
        defined = np.isfinite(values)
        total += np.where(defined, values, 0)
        count += defined
    statistic = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    # Equal sums added in another order differ in their last bits: they count as equal.
    nearer = np.abs(statistic[1:]) < np.abs(statistic[0]) - ROUNDING
    p = (1 + (~nearer).sum(axis=0)) / (1 + n_permutations)
    return xr.Dataset({"r": ("roi", statistic[0]), "p": ("roi", np.where(np.isfinite(statistic[0]), p, np.nan))})


def _blocks(n_orders: int, n_pairs: int) -> Iterator[slice]:
    height = max(1, BLOCK_CELLS // n_pairs)
    for start in range(0, n_orders, height):
        yield slice(start, start + height)


def _places(orders: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every order (order, image) and pair, where in the flat square RDM (image x image) its distance stands."""
    n_images = orders.shape[1]
    first, second = np.triu_indices(n_images, k=1)
    rows = orders * n_images
    return np.take(rows, first, axis=1) + np.take(orders, second, axis=1)


def _square(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """Flat square of a vector of pairs, both triangles."""
    n_images = n_images_of(vector.size)
    square = np.zeros((n_images, n_images))
    square[np.triu_indices(n_images, k=1)] = vector
    return (square + square.T).ravel()


def _pearson_of_orders(
    regions: NDArray[np.floating], model: NDArray[np.floating], orders: NDArray[np.int64], measure: str
) -> NDArray[np.float64]:
    """Pearson's r (order, roi) in one set."""
    x, x_defined = standardise(regions)
    y, y_defined = standardise(model)
    y_square, y_mask = _square(y), _square(y_defined)
    complete = bool(x_defined.all() and y_defined.all())
    n_pairs = model.size
    r = np.empty((len(orders), len(x)))
    for block in _blocks(len(orders), n_pairs):
        places = _places(orders[block])
        drawn = np.take(y_square, places)
        products = drawn @ x.T
        if complete:
            # No order changes the sums of a complete RDM: 0, and the number of pairs, or 0 if it does not vary.
            n, ones = np.float64(n_pairs), np.ones_like(products)
            squares = [ones * (side**2).sum(axis=-1) for side in (x, y)]
            r[block] = correlation_of_sums(n, 0 * ones, 0 * ones, squares[0], squares[1], products)
            continue
        mask = np.take(y_mask, places)
        present = x_defined.T.astype(np.float64)
        r[block] = correlation_of_sums(
            mask @ present, mask @ x.T, drawn @ present, mask @ (x**2).T, drawn**2 @ present, products
        )
    return r


def _compare_orders(
    regions: NDArray[np.floating], model: NDArray[np.floating], orders: NDArray[np.int64], measure: str
) -> NDArray[np.float64]:
    """Compare (order, roi) in one set."""
    square = _square(model)
    return np.array(
        [
            [compare_rdms(own, square[places], measure)[0] for own in regions]
            for places in (_places(order[None])[0] for order in orders)
        ]
    )
