"""Cross-validated fractional ridge regression: the linear model beneath encoding and decoding, on plain arrays.

Ridge regression of one unit (a vertex, a voxel, or an embedding dimension) on features of images has a penalty alpha, whose
useful range differs from unit to unit. The fraction gamma says instead how long the coefficients are, as a share of those of
least squares, so that one grid of fractions covers what is useful for every unit (Rokem and Kay 2020)::

    b(alpha) = argmin |y - X b|^2 + alpha |b|^2,   |b(alpha)| = gamma |b(0)|

with X and y less their means over the images that are fitted, and b(0) the shortest of all least-squares solutions.

How it is fast. With the singular value decomposition ``X = Z S V'`` of all images, the images of any fold are rows of Z, and all
that a fold needs of a unit's responses is ``Z_f' y_f``: one pass over the responses serves all folds and the final fit. In a
training set, itself decomposed as ``U s W'``, the path is ``b_i(alpha) = h_i c_i / s_i`` along its singular directions, with
``h_i = s_i^2 / (s_i^2 + alpha)`` and ``c = U'y``. Alpha is found from the lengths of b alone (`capcortex.encoding.ridge_paths`).
Predictions of the held-out images are ``Q (h c)``, and of these only the sum of squares is needed: ``|R h c|^2`` with the
triangular R of the decomposition ``Q = (orthonormal) R``. The work per fold, unit and fraction is a product with half of a
matrix of features by features, whatever the number of images.

How it is precise. Everything about X is decomposed in double precision. Products with responses may be in single precision,
because all matrices that multiply them (Z, Q, and the rotation of Z to U) have singular values near 1, also where those of X are
of very different size: rounding then acts as if each response had been rounded, and is not amplified. (A direction of which one
fold holds out all but a share e of the variance is the exception: errors of its scores grow by one over the root of e.)
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capcortex.encoding.ridge_paths import fit_fractions, shrink, square_lengths, sum_columns

FRACTIONS = np.arange(1, 21) / 20
"""Fractions in the text of Doerig et al. 2025: 0.05 to 1 in steps of 0.05."""

RELEASED_FRACTIONS = np.linspace(0.05, 1.05, 20)
"""Fractions in their released code. The last, above 1, is least squares."""

N_FOLDS = 5

SCRATCH_BYTES = 2**22
"""Coefficients of all fractions that are scored at once: they should stay in the cache of the processor."""


def fractional_ridge_memory_mb(n_images: int, n_features: int, n_units_in_block: int, n_fractions: int) -> int:
    """Memory in MB of a design and of one block of units after the other, responses and features included.

    Features, as they are and less their mean, their decomposition and its copies in LAPACK, double precision; of each fold three
    matrices of features by features; responses of a block, as they come and less their mean, single precision; of each unit in
    it the products with all folds, three times while the fit is made; coefficients of all fractions for some units; work memory
    of BLAS. Python and the compiler of numba are not in it (about 200 MB). Where folds are given by label, responses are copied
    once more.

    Parameters
    ----------
    n_images, n_features
        Shape of the features.
    n_units_in_block
        Most units of a block.
    n_fractions
        Size of the grid.
    """
    n_components = min(n_images, n_features)
    decomposition = 8 * (3 * n_images * n_features + 2 * n_images * n_components + 6 * n_components * n_features)
    folds = N_FOLDS * 4 * 3 * n_components**2
    block = 4 * n_units_in_block * (2 * n_images + (N_FOLDS + 6) * max(n_components, n_features))
    scratch = 2 * max(SCRATCH_BYTES, 4 * n_fractions * n_components)
    return 32 + (decomposition + folds + block + scratch) // 2**20


@dataclass(frozen=True, eq=False)
class Fold:
    """The training images of one fold, decomposed, and what is needed of the images that it holds out.

    Attributes
    ----------
    rows
        Held-out images, in the order of `RidgeDesign.components`.
    n_training
        Number of training images.
    singular_values : ndarray of shape (n_directions,), float64
        s, of the training images' features less their mean, descending, without those that count as zero.
    rotation : ndarray of shape (n_components, n_directions)
        T, which makes ``U = (Z - mean) T`` of rows of components: left singular vectors for training images, predictors of
        the same meaning for held-out ones.
    triangle : ndarray of shape (min(n_held_out, n_directions), n_directions)
        R, for which ``|R d|`` is the length of the predictions of held-out images ``(Z - mean) T d``.
    mean : ndarray of shape (n_components,), float64
        Mean components of training images.
    held_out_sum : ndarray of shape (n_components,), float64
        Sum of the components of held-out images.
    """

    rows: slice
    n_training: int
    singular_values: NDArray[np.float64]
    rotation: NDArray[np.floating]
    triangle: NDArray[np.floating]
    mean: NDArray[np.float64]
    held_out_sum: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RidgeDesign:
    """Features of images, decomposed for all images and for the training images of each fold.

    Attributes
    ----------
    fractions : ndarray of shape (n_fractions,), float64
        Grid, ascending.
    mean : ndarray of shape (n_features,), float64
        Mean features over images.
    components : ndarray of shape (n_images, n_components)
        Z, left singular vectors of the features less their mean, images sorted by fold. Its dtype is that of large products.
    singular_values : ndarray of shape (n_components,), float64
        S, descending, without those that count as zero.
    directions : ndarray of shape (n_components, n_features), float64
        V', right singular vectors.
    order : ndarray of shape (n_images,), intp
        Image of each row of ``components``.
    folds : tuple of Fold
    """

    fractions: NDArray[np.float64]
    mean: NDArray[np.float64]
    components: NDArray[np.floating]
    singular_values: NDArray[np.float64]
    directions: NDArray[np.float64]
    order: NDArray[np.intp]
    folds: tuple[Fold, ...]


class Projections(NamedTuple):
    """What the fits and scores of a block of units need of their responses: it is far smaller than these.

    Attributes
    ----------
    products : ndarray of shape (n_folds, n_units, n_components)
        ``Z_f' y_f`` over the held-out images of each fold, y less its mean over all images; its sum over folds is ``Z'y``.
    sums, squares : ndarray of shape (n_folds, n_units), float64
        Sum of y over the held-out images of each fold, and sum of squares around their own mean; 0 where all are equal.
    mean : ndarray of shape (n_units,), float64
        Mean response over all images.
    """

    products: NDArray[np.floating]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    mean: NDArray[np.float64]


class RidgeFit(NamedTuple):
    """Linear models of a block of units, ``prediction = x'b + intercept``.

    Attributes
    ----------
    coefficients : ndarray of shape (n_features, n_units)
        b, in the precision of the design.
    intercept : ndarray of shape (n_units,), float64
    fraction : ndarray of shape (n_units,), float64
        Length of the coefficients as a share of those of least squares.
    alpha : ndarray of shape (n_units,), float64
        Penalty that makes them so long.
    """

    coefficients: NDArray[np.floating]
    intercept: NDArray[np.float64]
    fraction: NDArray[np.float64]
    alpha: NDArray[np.float64]


def make_design(
    features: NDArray[np.floating],
    fractions: ArrayLike = FRACTIONS,
    *,
    folds: int | ArrayLike = N_FOLDS,
    dtype: type[np.floating] = np.float32,
) -> RidgeDesign:
    """Decompose features once for all units: ``X - mean = Z S V'``, and in the same way the training images of each fold.

    A singular value counts as zero up to ``max(n_images, n_features) * 2.2e-16`` times the largest (as in `numpy.linalg.lstsq`;
    the decompositions are of double precision), so that a feature that is constant, tiny or a sum of others changes nothing.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        X, finite.
    fractions : array of shape (n_fractions,)
        Grid of gamma, above 0, ascending. One above 1 is least squares, like 1.
    folds
        How many blocks of successive images are held out in turn (as scikit-learn's ``KFold`` without shuffling: the first of
        them are longer by one, where they cannot be equal); or for each image the label of its fold, in any order.
    dtype
        Precision of products with responses: single (float32) or double (float64).

    Returns
    -------
    RidgeDesign

    Raises
    ------
    ValueError
        If features are not finite, or do not vary over the training images of a fold; if fractions or folds are not as said.

    References
    ----------
    Rokem and Kay 2020, doi 10.1093/gigascience/giaa133.
    """
    x = np.array(features, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"features: expected shape (n_images, n_features), found {x.shape}")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if bad.size:
        raise ValueError(f"features: row {bad[0]} is not finite ({bad.size} of {len(x)} rows)")
    grid = np.array(fractions, dtype=np.float64)
    if grid.ndim != 1 or not grid.size or not (np.isfinite(grid) & (grid > 0)).all() or (np.diff(grid) < 0).any():
        raise ValueError(f"fractions: expected ascending numbers above 0, found {grid}")
    order, rows = _split(len(x), folds)
    constant = x.max(axis=0) == x.min(axis=0)
    mean = x.mean(axis=0)
    x -= mean
    x[:, constant] = 0
    x = x[order]
    components, singular_values, directions = np.linalg.svd(x, full_matrices=False)
    least = max(x.shape) * np.finfo(np.float64).eps * singular_values[0]
    rank = int((singular_values > least).sum())
    if rank == 0:
        raise ValueError(f"features: none of {x.shape[1]} varies over the {len(x)} images")
    components, singular_values, directions = components[:, :rank], singular_values[:rank], directions[:rank]
    made = tuple(_decompose_fold(components, singular_values, least, each, dtype) for each in rows)
    return RidgeDesign(grid, mean, np.ascontiguousarray(components, dtype), singular_values, directions, order, made)


def _split(n_images: int, folds: int | ArrayLike) -> tuple[NDArray[np.intp], list[slice]]:
    """Order in which images are sorted by fold, and the rows of each fold in it."""
    if isinstance(folds, int):
        if not 2 <= folds <= n_images:
            raise ValueError(f"folds: expected from 2 up to the number of images, {n_images}; found {folds}")
        labels = np.repeat(np.arange(folds), [len(block) for block in np.array_split(np.arange(n_images), folds)])
    else:
        labels = np.asarray(folds)
        if labels.shape != (n_images,):
            raise ValueError(f"folds: expected the label of each of {n_images} images, found shape {labels.shape}")
    _, counts = np.unique(labels, return_counts=True)
    if counts.size < 2:
        raise ValueError("folds: expected at least 2, found all images in one")
    ends = np.cumsum(counts)
    rows = [slice(int(end - count), int(end)) for end, count in zip(ends, counts, strict=True)]
    return np.argsort(labels, kind="stable"), rows


def _decompose_fold(
    components: NDArray[np.float64], scales: NDArray[np.float64], least: float, rows: slice, dtype: type[np.floating]
) -> Fold:
    """Decompose the training images of a fold, given those of all: ``(Z_t - mean) S = U s W'``, ``T = S W / s``."""
    held_out, training = components[rows], np.delete(components, rows, axis=0)
    mean = training.mean(axis=0)
    training -= mean
    # The triangle of an orthonormal-triangular decomposition has the same s and W, and is small.
    _, s, w = np.linalg.svd(np.linalg.qr(training * scales, mode="r"), full_matrices=False)
    rank = int((s > least).sum())
    if rank == 0:
        raise ValueError(
            f"features: none varies over the {len(training)} images with which a fold trains that holds out {len(held_out)}"
        )
    rotation = scales[:, None] * w[:rank].T / s[:rank]
    return Fold(
        rows=rows,
        n_training=len(training),
        singular_values=s[:rank],
        rotation=np.ascontiguousarray(rotation, dtype),
        triangle=np.asfortranarray(np.linalg.qr((held_out - mean) @ rotation, mode="r"), dtype),
        mean=mean,
        held_out_sum=held_out.sum(axis=0),
    )


def project(design: RidgeDesign, responses: NDArray[np.floating]) -> Projections:
    """Take from the responses of a block of units what scores and fits need of them.

    Parameters
    ----------
    design
        Of the same images.
    responses : ndarray of shape (n_images, n_units)
        y, finite: units with missing values are left out before. Images in the order of the features.

    Returns
    -------
    Projections

    Raises
    ------
    ValueError
        If the images are not as many as those of the design; if a response is not finite, naming the number of units.
    """
    n_images, n_units = len(design.order), responses.shape[1] if responses.ndim == 2 else 0
    if responses.shape != (n_images, n_units):
        raise ValueError(f"responses: expected shape ({n_images}, n_units), found {responses.shape}")
    mean = responses.mean(axis=0, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(mean))
    if bad.size:
        raise ValueError(
            f"responses: {bad.size} of {n_units} units, first number {bad[0]} (from 0), are not finite in every image; "
            "leave such units out"
        )
    y = np.empty(responses.shape, design.components.dtype)
    sorted_already = bool((np.diff(design.order) > 0).all())
    np.subtract(responses if sorted_already else responses[design.order], mean, out=y, casting="same_kind")
    y[:, responses.max(axis=0) == responses.min(axis=0)] = 0
    n_folds = len(design.folds)
    products = np.empty((n_folds, n_units, design.singular_values.size), y.dtype)
    sums, squares = np.empty((n_folds, n_units)), np.empty((n_folds, n_units))
    for number, fold in enumerate(design.folds):
        held_out = y[fold.rows]
        np.matmul(held_out.T, design.components[fold.rows], out=products[number])
        sum_columns(held_out, sums[number], squares[number])
    return Projections(products, sums, squares, mean)


def cross_validate(design: RidgeDesign, projections: Projections) -> NDArray[np.float64]:
    """Score every fraction of the grid on images that were held out.

    In each fold ``R2 = 1 - sum (y - prediction)^2 / sum (y - mean of y)^2`` over the held-out images, with means of features and
    responses, and the length that a fraction is of, from the training images alone; then the mean over folds.

    Parameters
    ----------
    design
    projections
        Of a block of units, from `project`.

    Returns
    -------
    ndarray of shape (n_fractions, n_units), float64
        At most 1. A fold in which all held-out responses of a unit are equal has no R2 and does not count; NaN for a unit without
        any other.
    """
    # Fractions that mean the same are scored once: rounding must not prefer one of them.
    fractions, copies = np.unique(np.minimum(design.fractions, 1), return_inverse=True)
    n_units = projections.mean.size
    whole = projections.products.sum(axis=0)
    total, counted = np.zeros((n_units, fractions.size)), np.zeros((n_units, 1))
    for number, fold in enumerate(design.folds):
        n_held_out = fold.rows.stop - fold.rows.start
        held_out, held_out_sum = projections.products[number], projections.sums[number]
        # y is less its mean over all images, and so are the components: sums over training images are minus those over others.
        mean = -held_out_sum[:, None] / fold.n_training
        products = whole - held_out
        products -= (fold.n_training * fold.mean) * mean
        projected = products @ fold.rotation
        np.copyto(products, held_out)
        products -= fold.held_out_sum * mean
        products -= fold.mean * (held_out_sum[:, None] - n_held_out * mean)
        gradients = products @ fold.rotation
        distance = projections.squares[number] + n_held_out * (held_out_sum / n_held_out - mean[:, 0]) ** 2
        r2 = score_held_out(
            fold.singular_values,
            fold.triangle,
            projected,
            gradients,
            distance=distance,
            spread=projections.squares[number],
            fractions=fractions,
        )
        defined = np.isfinite(r2)
        total += np.where(defined, r2, 0)
        counted += defined[:, :1]
    total /= np.where(counted > 0, counted, np.nan)
    return total.T[copies]


def score_held_out(
    singular_values: NDArray[np.float64],
    triangle: NDArray[np.floating],
    projected: NDArray[np.floating],
    gradients: NDArray[np.floating],
    *,
    distance: NDArray[np.float64],
    spread: NDArray[np.float64],
    fractions: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Score every fraction on the images that one fold holds out.

    Parameters
    ----------
    singular_values : ndarray of shape (n_directions,)
        s, of the training images' features less their mean.
    triangle : ndarray of shape (n_rows, n_directions)
        R, for which ``|R d|`` is the length of the predictions ``Q d`` of held-out images.
    projected : ndarray of shape (n_units, n_directions)
        c, of the training responses less their mean.
    gradients : ndarray of shape (n_units, n_directions)
        ``Q'y`` of the held-out responses less that mean.
    distance, spread : ndarray of shape (n_units,)
        Sums of squares of held-out responses around that mean and around their own; 0 of the latter where they are all equal.
    fractions : ndarray of shape (n_fractions,)
        Grid, ascending, at most 1.

    Returns
    -------
    ndarray of shape (n_units, n_fractions), float64
        R2; NaN for a unit whose held-out responses are all equal.
    """
    found = np.empty((len(projected), fractions.size))
    step = max(1, SCRATCH_BYTES // (projected.dtype.itemsize * fractions.size * singular_values.size))
    for start in range(0, len(projected), step):
        units = slice(start, min(start + step, len(projected)))
        errors = _sum_errors(singular_values, triangle, projected[units], gradients[units], fractions)
        errors += distance[units, None]
        defined = spread[units, None] > 0
        found[units] = np.where(defined, 1 - errors / np.where(defined, spread[units, None], 1), np.nan)
    return found


def _sum_errors(
    singular_values: NDArray[np.float64],
    triangle: NDArray[np.floating],
    projected: NDArray[np.floating],
    gradients: NDArray[np.floating],
    fractions: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum of squared errors on held-out images for each unit and fraction, less what it is without prediction."""
    from scipy.linalg.blas import dtrmm, strmm

    n_units, n_directions = projected.shape
    shrunk = np.empty((n_units, fractions.size, n_directions), projected.dtype)
    agreements = np.empty((n_units, fractions.size))
    shrink(projected, gradients, singular_values, fractions, shrunk, agreements)
    rows = shrunk.reshape(-1, n_directions)
    if triangle.shape[0] == n_directions:
        multiply = strmm if projected.dtype == np.float32 else dtrmm
        predicted = multiply(1.0, triangle, rows.T, overwrite_b=1).T
    else:
        predicted = rows @ triangle.T
    squares = np.empty(len(rows))
    square_lengths(predicted, squares)
    return squares.reshape(agreements.shape) - 2 * agreements


def choose_fractions(
    fractions: NDArray[np.float64], scores: NDArray[np.float64], *, shared: bool = False
) -> NDArray[np.float64]:
    """Choose the fraction that scores best, the smaller one of equals.

    Parameters
    ----------
    fractions : ndarray of shape (n_fractions,)
        Grid, ascending.
    scores : ndarray of shape (n_fractions, n_units)
        From `cross_validate`, of all units if the choice is shared. A unit without scores gets the smallest fraction.
    shared
        One fraction for all units, by the mean of their scores, as the released code of Doerig et al. 2025 chooses. Units that do
        not follow the features are most, and all choose.

    Returns
    -------
    ndarray of shape (n_units,), float64
    """
    scores = np.asarray(scores, dtype=np.float64)
    if shared:
        defined = np.isfinite(scores).all(axis=0)
        means = np.where(defined, scores, 0).sum(axis=1)
        return np.full(scores.shape[1], fractions[means.argmax()])
    return fractions[np.where(np.isnan(scores), -np.inf, scores).argmax(axis=0)]


def fit(design: RidgeDesign, projections: Projections, fraction: ArrayLike) -> RidgeFit:
    """Fit units on all images of the design, each at its fraction.

    Parameters
    ----------
    design
    projections
        Of a block of units, from `project`.
    fraction : array of shape (n_units,), or a number
        gamma, above 0; 1 and more is least squares.

    Returns
    -------
    RidgeFit
        A unit whose responses are all equal has coefficients 0 and alpha 0.

    Raises
    ------
    ValueError
        If a fraction is not above 0.
    """
    n_units = projections.mean.size
    wanted = np.array(np.broadcast_to(np.asarray(fraction, dtype=np.float64), n_units))
    if not (wanted > 0).all():
        raise ValueError(f"fraction: expected numbers above 0, found {wanted[~(wanted > 0)][0]}")
    along, alpha = projections.products.sum(axis=0), np.empty(n_units)
    fit_fractions(along, design.singular_values, wanted, along, alpha)
    coefficients = design.directions.T.astype(along.dtype) @ along.T
    intercept = projections.mean - design.mean @ coefficients
    return RidgeFit(coefficients, intercept, wanted, alpha)


def fit_blocks(
    design: RidgeDesign, blocks: Callable[[], Iterable[NDArray[np.floating]]], *, shared: bool = False
) -> Iterator[tuple[RidgeFit, NDArray[np.float64]]]:
    """Cross-validate and fit one block of units after the other.

    Parameters
    ----------
    design
    blocks
        Called to read the responses, ``(n_images, n_units)`` of one block after the other; twice if the choice is shared.
    shared
        One fraction for the units of all blocks, else one for each.

    Yields
    ------
    RidgeFit
        Of one block.
    ndarray of shape (n_fractions, n_units), float64
        Scores of the same units.
    """
    if not shared:
        for responses in blocks():
            projections = project(design, responses)
            scores = cross_validate(design, projections)
            yield fit(design, projections, choose_fractions(design.fractions, scores)), scores
        return
    of_blocks = [cross_validate(design, project(design, responses)) for responses in blocks()]
    if not of_blocks:
        return
    chosen = choose_fractions(design.fractions, np.concatenate(of_blocks, axis=1), shared=True)[0]
    for responses, scores in zip(blocks(), of_blocks, strict=True):
        yield fit(design, project(design, responses), chosen), scores


def predict(
    features: NDArray[np.floating],
    coefficients: NDArray[np.floating],
    intercept: NDArray[np.float64],
    *,
    keep_mean: bool = True,
) -> NDArray[np.float64]:
    """Predict responses to images: ``X b + intercept``.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        Of any images.
    coefficients : ndarray of shape (n_features, n_units)
    intercept : ndarray of shape (n_units,)
        As of `fit`.
    keep_mean
        If not, the intercept is left out, as in the released code of Doerig et al. 2025 (fracridge's FracRidgeRegressorCV fits
        features and responses less their means, and predicts from features as they are). Correlations over images are the same,
        those over units are not.

    Returns
    -------
    ndarray of shape (n_images, n_units), float64
    """
    predicted = np.asarray(features, dtype=np.float64) @ coefficients
    return predicted + intercept if keep_mean else predicted
