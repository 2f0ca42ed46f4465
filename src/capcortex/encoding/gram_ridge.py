"""Fractional ridge regression where features outnumber images, as when embeddings are predicted from all vertices of a subject.

Beside ``fractional_ridge``, whose regression this is, written with products of images instead of features. With X the features of
the training images less their mean, n images and any number of features, all that the regression needs is the n by n Gram matrix
``K = X X' = U S^2 U'``: singular directions and values of X follow from it, and coefficients are ``b = X'a`` with one a for each
image. Features are read once, in blocks, and never held together.

How it is precise. Forming K squares the ratio of singular values, so that those below about ``sqrt(n * 2.2e-16)`` times the
largest (1.5e-6 at 10,000 images) count as zero; `capcortex.encoding.fractional_ridge.make_design` tells smaller ones apart.
Everything is in double precision.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capcortex.encoding.fractional_ridge import FRACTIONS, N_FOLDS, SCRATCH_BYTES, score_held_out
from capcortex.encoding.ridge_paths import fit_fractions, sum_columns


def gram_ridge_memory_mb(
    n_training: int, n_test: int, n_features_at_once: int, n_targets: int, n_fractions: int
) -> int:
    """Memory in MB of a Gram matrix and of all that is done with it, double precision.

    The matrix, a copy that is decomposed and twice its size in LAPACK, and of each fold what it holds out; a block of features as
    it comes and less its mean; targets, and products with them; coefficients of all fractions for some targets; work memory of
    BLAS. Python and the compiler of numba are not in it (about 200 MB).
    """
    matrices = 8 * (4 * n_training**2 + 3 * n_training**2 // N_FOLDS + 2 * n_test * n_training)
    block = (2 * 4 + 8 + 8) * n_features_at_once * (n_training + n_test)
    targets = 8 * n_targets * 6 * n_training
    scratch = 3 * max(SCRATCH_BYTES, 8 * n_fractions * n_training)
    return 32 + (matrices + block + targets + scratch) // 2**20


@dataclass(frozen=True, eq=False)
class Gram:
    """Products of images, summed over features, less the mean of the training images.

    Attributes
    ----------
    training : ndarray of shape (n_training, n_training), float64
        ``X X'``.
    test : ndarray of shape (n_test, n_training), float64
        ``T X'`` of the test images' features T, of which nothing is taken.
    mean : ndarray of shape (n_training,), float64
        ``X m`` with the mean features m of the training images.
    n_features : int
        Features that entered.
    n_left_out : int
        Features that did not, as they lack a value for an image.
    """

    training: NDArray[np.float64]
    test: NDArray[np.float64]
    mean: NDArray[np.float64]
    n_features: int
    n_left_out: int


class GramFit(NamedTuple):
    """Linear models of all targets.

    Attributes
    ----------
    duals : ndarray of shape (n_training, n_targets), float64
        a, so that coefficients are ``b = X'a`` and a test image's prediction is ``T X'a + intercept``.
    intercept : ndarray of shape (n_targets,), float64
        Mean target less what is predicted of the mean features.
    fraction, alpha : ndarray of shape (n_targets,), float64
        Length of the coefficients as a share of those of least squares, and the penalty that makes them so long.
    """

    duals: NDArray[np.float64]
    intercept: NDArray[np.float64]
    fraction: NDArray[np.float64]
    alpha: NDArray[np.float64]


def make_gram(blocks: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]]) -> Gram:
    """Sum products of images over blocks of features.

    Parameters
    ----------
    blocks
        Features of a block of the training images, (n_training, n_features), and of the test images, (n_test, n_features). A
        feature that is not finite in every image is left out.

    Returns
    -------
    Gram

    Raises
    ------
    ValueError
        If there is no feature that all images have.
    """
    from scipy.linalg.blas import dsyrk

    gram: NDArray[np.float64] | None = None
    test_products, mean_products = np.zeros(0), np.zeros(0)
    n_features, n_left_out = 0, 0
    for training, test in blocks:
        whole = np.isfinite(training).all(axis=0) & np.isfinite(test).all(axis=0)
        n_features, n_left_out = n_features + int(whole.sum()), n_left_out + int((~whole).sum())
        if not whole.any():
            continue
        x = training[:, whole].astype(np.float64)
        mean = x.mean(axis=0)
        constant = x.max(axis=0) == x.min(axis=0)
        x -= mean
        x[:, constant] = 0
        if gram is None:
            gram = np.zeros((len(x), len(x)), order="F")
            test_products, mean_products = np.zeros((len(test), len(x))), np.zeros(len(x))
        # The transpose lies in memory as LAPACK's libraries want it: nothing is copied, and one triangle is summed in place.
        gram = dsyrk(1.0, x.T, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)
        test_products += test[:, whole].astype(np.float64) @ x.T
        mean_products += x @ mean
    if gram is None:
        raise ValueError(f"features: none of {n_left_out} has a finite value for every image")
    for row in range(len(gram)):
        gram[row, row + 1 :] = gram[row + 1 :, row]
    return Gram(gram, test_products, mean_products, n_features, n_left_out)


def cross_validate_gram(
    gram: Gram, targets: NDArray[np.floating], fractions: ArrayLike = FRACTIONS, *, n_folds: int = N_FOLDS
) -> NDArray[np.float64]:
    """Score every fraction of the grid on training images that were held out, as `fractional_ridge.cross_validate` does.

    Parameters
    ----------
    gram
        From `make_gram`.
    targets : ndarray of shape (n_training, n_targets)
        Finite.
    fractions : array of shape (n_fractions,)
        Grid of gamma, above 0, ascending. One above 1 is least squares, like 1.
    n_folds
        Blocks of successive images that are held out in turn.

    Returns
    -------
    ndarray of shape (n_fractions, n_targets), float64
        R2, mean over folds; NaN for a target without any.

    Raises
    ------
    ValueError
        If targets are not finite or not as many as images; if the features do not vary over the training images of a fold.
    """
    y = _checked(gram, targets)
    grid, copies = np.unique(np.minimum(np.asarray(fractions, dtype=np.float64), 1), return_inverse=True)
    total, counted = np.zeros((y.shape[1], grid.size)), np.zeros((y.shape[1], 1))
    for held_out in np.array_split(np.arange(len(y)), n_folds):
        training = np.setdiff1d(np.arange(len(y)), held_out)
        products = gram.training[np.ix_(training, training)]
        of_held_out = gram.training[np.ix_(held_out, training)]
        # Features less their mean over the images that the fold trains with, which the products show.
        column = products.mean(axis=0)
        of_held_out -= of_held_out.mean(axis=1, keepdims=True) + column - column.mean()
        products -= column
        products -= products.mean(axis=1, keepdims=True)
        singular_values, directions = _decompose(products, gram)
        del products
        predictors = of_held_out @ directions / singular_values**2
        mean = y[training].mean(axis=0)
        sums, spread = np.empty(y.shape[1]), np.empty(y.shape[1])
        sum_columns(y[held_out], sums, spread)
        r2 = score_held_out(
            singular_values,
            np.asfortranarray(np.linalg.qr(predictors, mode="r")),
            (y[training] - mean).T @ directions,
            (y[held_out] - mean).T @ predictors,
            distance=spread + held_out.size * (sums / held_out.size - mean) ** 2,
            spread=spread,
            fractions=grid,
        )
        defined = np.isfinite(r2)
        total += np.where(defined, r2, 0)
        counted += defined[:, :1]
    total /= np.where(counted > 0, counted, np.nan)
    return total.T[copies]


def fit_gram(gram: Gram, targets: NDArray[np.floating], fractions: NDArray[np.float64]) -> list[GramFit]:
    """Fit all targets on all training images.

    Parameters
    ----------
    gram
        From `make_gram`.
    targets : ndarray of shape (n_training, n_targets)
        Finite.
    fractions : ndarray of shape (n_fits, n_targets)
        gamma of each target, above 0, for as many fits as are wanted: the matrix is decomposed once.

    Returns
    -------
    list of GramFit
    """
    y = _checked(gram, targets)
    mean = y.mean(axis=0)
    singular_values, directions = _decompose(gram.training.copy(order="F"), gram)
    centred = y - mean
    # What rounding leaves of a target that is the same for all images is no signal.
    centred[:, y.max(axis=0) == y.min(axis=0)] = 0
    projected = centred.T @ directions
    fits = []
    for wanted in np.atleast_2d(np.asarray(fractions, dtype=np.float64)):
        along, alpha = np.empty_like(projected), np.empty(y.shape[1])
        fit_fractions(projected, singular_values, np.ascontiguousarray(wanted), along, alpha)
        duals = directions @ (along / singular_values).T
        fits.append(GramFit(duals, mean - gram.mean @ duals, wanted, alpha))
    return fits


def _checked(gram: Gram, targets: NDArray[np.floating]) -> NDArray[np.float64]:
    n_images = len(gram.training)
    if targets.ndim != 2 or len(targets) != n_images:
        raise ValueError(f"targets: expected shape ({n_images}, n_targets), found {targets.shape}")
    bad = np.flatnonzero(~np.isfinite(targets).all(axis=1))
    if bad.size:
        raise ValueError(f"targets: row {bad[0]} is not finite ({bad.size} of {n_images} rows)")
    return np.ascontiguousarray(targets, dtype=np.float64)


def _decompose(products: NDArray[np.float64], gram: Gram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Singular values of features, descending, without those that count as zero, and left singular vectors; products are lost."""
    from scipy.linalg import eigh

    squares, vectors = eigh(products, overwrite_a=True, check_finite=False, driver="evd")
    rounding = squares.size * np.finfo(np.float64).eps
    # Of images that do not differ only errors are left, which are as large as all images make them.
    if squares[-1] <= rounding * gram.training.trace():
        raise ValueError(f"features: none varies over the {squares.size} images that are fitted")
    n_zero = int(np.searchsorted(squares, rounding * squares[-1], side="right"))
    return np.sqrt(squares[n_zero:][::-1]), vectors[:, n_zero:][:, ::-1]
