"""Decoding: embeddings of images that a subject saw, predicted from the responses, and what they are worth.

Between the regression (``gram_ridge``) and the figure. Fitted on a subject's own images and tested on images that all subjects
saw, as in Doerig et al. 2025, doi:10.1038/s42256-025-01072-0 (Fig. 2b). A prediction is compared with the embedding of its image
by Pearson's r over dimensions. That number needs company: embeddings of any two images correlate, since all share the mean
embedding, so that even the mean alone "decodes" (`score_images`). The released code has one fraction for all dimensions, where
the text says one for each, and leaves the mean embedding out of its predictions; both are here.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capcortex.encoding.encode import UNITS_AT_ONCE
from capcortex.encoding.fractional_ridge import FRACTIONS, RELEASED_FRACTIONS, choose_fractions, predict
from capcortex.encoding.gram_ridge import Gram, cross_validate_gram, fit_gram, gram_ridge_memory_mb

LEAST_DIMENSIONS = 10
"""Over fewer dimensions of an embedding a correlation says little."""

EQUAL = 1e-10
"""Correlations that differ by less are equal: so much rounding makes of embeddings that are, or are but for their length."""

SENTENCES_AT_ONCE = 8192
"""Sentences of a dictionary that are compared at once."""


class Decoding(NamedTuple):
    """Predicted embeddings of test images.

    Attributes
    ----------
    predicted : ndarray of shape (n_test_images, n_dimensions), float64
        With the mean embedding of the training images, each dimension at its own fraction.
    without_mean : ndarray of shape (n_test_images, n_dimensions), float64
        The same less the intercept of each dimension: the weighted sum of responses alone.
    fraction : ndarray of shape (n_dimensions,), float64
        Fraction of the length of least-squares coefficients that cross-validation chose.
    cross_validated_r2 : ndarray of shape (n_dimensions,), float64
        R2 of that fraction on held-out training images, mean over folds; NaN for a dimension whose values are all equal.
    as_released : ndarray of shape (n_test_images, n_dimensions), float64, or None
        One fraction for all dimensions, from the released grid, without the mean embedding; if it was asked for.
    fraction_as_released : float
        That fraction; NaN if it was not.
    """

    predicted: NDArray[np.float64]
    without_mean: NDArray[np.float64]
    fraction: NDArray[np.float64]
    cross_validated_r2: NDArray[np.float64]
    as_released: NDArray[np.float64] | None
    fraction_as_released: float


class ImageScores(NamedTuple):
    """How well predictions fit their own image, and other ones; all of shape (n_images,), float64.

    Attributes
    ----------
    r
        Pearson correlation over dimensions of prediction and embedding.
    mismatched
        Mean of the correlations of the prediction with the embeddings of all other images.
    identification
        Share of the other images whose embedding correlates less with the prediction than its own image's does; one that
        correlates as much (within `EQUAL`) counts half. Chance is 0.5.
    """

    r: NDArray[np.float64]
    mismatched: NDArray[np.float64]
    identification: NDArray[np.float64]


class Nearest(NamedTuple):
    """The most similar sentence of a dictionary to each prediction.

    Attributes
    ----------
    row : ndarray of shape (n_predictions,), int64
        Number of the sentence in the dictionary, from 0; -1 for a prediction without direction.
    r : ndarray of shape (n_predictions,), float64
        Pearson correlation with it; NaN for a prediction without direction.
    """

    row: NDArray[np.int64]
    r: NDArray[np.float64]


def decoding_memory_mb(n_training: int, n_test: int, n_dimensions: int) -> int:
    """Memory in MB of decoding a subject and finding the nearest sentences: the larger of the two, and Python with numba."""
    n_fractions = FRACTIONS.size + RELEASED_FRACTIONS.size
    regression = gram_ridge_memory_mb(n_training, n_test, UNITS_AT_ONCE, n_dimensions, n_fractions)
    return 350 + max(regression, nearest_memory_mb(n_test, n_dimensions))


def nearest_memory_mb(n_predictions: int, n_dimensions: int, n_sentences_at_once: int = SENTENCES_AT_ONCE) -> int:
    """Memory in MB of `nearest_sentences`, whatever the size of the dictionary.

    Vectors of a block as they come, three times in double and once in single precision; their correlations with all predictions
    and which of them are near; predictions in both precisions; work memory of BLAS.
    """
    block = n_sentences_at_once * ((4 + 3 * 8 + 4) * n_dimensions + 2 * 4 * n_predictions)
    return 32 + (block + n_predictions * n_dimensions * 3 * 8) // 2**20


def decode_images(gram: Gram, targets: NDArray[np.floating], *, as_released: bool = False) -> Decoding:
    """Fit every dimension of an embedding on the training images, and predict it for the test images.

    Parameters
    ----------
    gram
        Of the responses, from `capcortex.encoding.gram_ridge.make_gram`.
    targets : ndarray of shape (n_training_images, n_dimensions)
        Embeddings of the training images, finite.
    as_released
        Also predict as the released code does.

    Returns
    -------
    Decoding

    Raises
    ------
    ValueError
        If the embedding has fewer than `LEAST_DIMENSIONS` dimensions; further see `make_gram` and its company.
    """
    if targets.ndim != 2 or targets.shape[1] < LEAST_DIMENSIONS:
        raise ValueError(
            f"embeddings: expected shape (n_images, n_dimensions) with at least {LEAST_DIMENSIONS} dimensions, over which "
            f"predictions are correlated; found {targets.shape}"
        )
    grid = np.union1d(FRACTIONS, RELEASED_FRACTIONS) if as_released else FRACTIONS
    scores = cross_validate_gram(gram, targets, grid)
    sound = np.isin(grid, FRACTIONS)
    wanted = [choose_fractions(grid[sound], scores[sound])]
    if as_released:
        released = np.isin(grid, RELEASED_FRACTIONS)
        wanted.append(choose_fractions(grid[released], scores[released], shared=True))
    fits = fit_gram(gram, targets, np.array(wanted))
    with_mean, without = (
        predict(gram.test, fits[0].duals, fits[0].intercept, keep_mean=keep_mean) for keep_mean in (True, False)
    )
    return Decoding(
        predicted=with_mean,
        without_mean=without,
        fraction=wanted[0],
        cross_validated_r2=scores[np.searchsorted(grid, wanted[0]), np.arange(targets.shape[1])],
        as_released=predict(gram.test, fits[1].duals, fits[1].intercept, keep_mean=False) if as_released else None,
        fraction_as_released=float(wanted[1][0]) if as_released else float("nan"),
    )


def score_images(predicted: NDArray[np.floating], targets: NDArray[np.floating]) -> ImageScores:
    """Compare each prediction with the embedding of its own image and with those of all others.

    Parameters
    ----------
    predicted, targets : ndarray of shape (n_images, n_dimensions)
        The same images in the same order.

    Returns
    -------
    ImageScores
        NaN where a prediction or its embedding has the same value in all dimensions; such an embedding is not among the others.
        With a single image there are no others, and ``mismatched`` and ``identification`` are NaN.
    """
    correlations = correlate_rows(predicted, targets)
    own = np.diagonal(correlations).copy()
    n_others = np.isfinite(correlations).sum(axis=1) - np.isfinite(own)
    # An image is not among the others.
    np.fill_diagonal(correlations, np.nan)
    less = own[:, None] - correlations
    share = (less > EQUAL).sum(axis=1) + 0.5 * (np.abs(less) <= EQUAL).sum(axis=1)
    defined = np.isfinite(own) & (n_others > 0)
    total = np.nansum(correlations, axis=1)
    divisor = np.where(n_others > 0, n_others, np.nan)
    return ImageScores(own, total / divisor, np.where(defined, share / divisor, np.nan))


def caption_ceiling(
    vectors: NDArray[np.floating], ids: NDArray[np.integer], images: NDArray[np.integer]
) -> NDArray[np.float64]:
    """How well captions of one image agree: each with the mean of the others, averaged over all of them.

    Parameters
    ----------
    vectors : ndarray of shape (n_captions, n_dimensions)
        Sentence vectors of single captions.
    ids : ndarray of shape (n_captions,)
        ``id73k`` of each.
    images : ndarray of shape (n_images,)
        ``id73k``, each once. Captions of other images are passed over.

    Returns
    -------
    ndarray of shape (n_images,), float64
        Mean Pearson correlation over dimensions. NaN for an image with a single caption, or none.
    """
    order = np.argsort(images, kind="stable")
    at = np.searchsorted(images, ids, sorter=order)
    known = np.isin(ids, images)
    rows = order[at[known]]
    values = np.asarray(vectors, dtype=np.float64)[known]
    sums = np.zeros((len(images), values.shape[1]))
    np.add.at(sums, rows, values)
    counts = np.bincount(rows, minlength=len(images))
    several = counts[rows] > 1
    own, rows = values[several], rows[several]
    r = correlate_pairs(own, sums[rows] - own)
    divisor = np.where(counts > 1, counts, np.nan)
    return np.bincount(rows, weights=r, minlength=len(images)) / divisor


def nearest_sentences(predicted: NDArray[np.floating], blocks: Iterable[NDArray[np.floating]]) -> Nearest:
    """Find the sentence of a dictionary whose vector correlates most with each prediction.

    Sentences are compared in single precision, and those that rounding could have put first once more in double precision, each
    by itself: the answer does not depend on the blocks. Memory: `nearest_memory_mb`.

    Parameters
    ----------
    predicted : ndarray of shape (n_predictions, n_dimensions)
    blocks
        Vectors of successive sentences, (n_sentences, n_dimensions) of each block.

    Returns
    -------
    Nearest
        Of equals the first. A vector with the same value in all dimensions is near to nothing.

    Raises
    ------
    ValueError
        If there is no sentence; if a vector is not finite, or has another number of dimensions, naming its row.
    """
    exact = standardise_rows(np.asarray(predicted, dtype=np.float64))
    # A row without direction is NaN throughout.
    directed = np.isfinite(exact[:, 0])
    rough = np.where(directed[:, None], exact, 0).astype(np.float32)
    # Twice the largest error of a product of two vectors of length 1.
    margin = max(1e-5, exact.shape[1] * float(np.finfo(np.float32).eps))
    best = np.full(len(exact), -np.inf)
    row = np.full(len(exact), -1, dtype=np.int64)
    first = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != exact.shape[1]:
            raise ValueError(
                f"dictionary: expected vectors of {exact.shape[1]} dimensions, found shape {block.shape} from row {first} on"
            )
        sentences = standardise_rows(block)
        flat = np.isnan(sentences[:, 0])
        for bad in np.flatnonzero(flat):
            if not np.isfinite(block[bad]).all():
                raise ValueError(f"dictionary: row {first + bad} is not finite; make the dictionary again")
        sentences[flat] = 0
        found = rough @ sentences.astype(np.float32).T
        found[:, flat] = -np.inf
        highest = found.max(axis=1, initial=-np.inf)
        for number in np.flatnonzero(directed & np.isfinite(highest) & (highest >= best - margin)):
            near = np.flatnonzero(found[number] >= max(highest[number], best[number]) - margin)
            r = (sentences[near] * exact[number]).sum(axis=1)
            at = int(r.argmax())
            if r[at] > best[number]:
                best[number], row[number] = r[at], first + near[at]
        first += len(block)
    if first == 0:
        raise ValueError("dictionary: it has no sentence; name a file with some as decoding: dictionary")
    return Nearest(row, np.where(row >= 0, np.clip(best, -1, 1), np.nan))


def correlate_rows(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each row with each: shape (n_left, n_right); NaN where one of them is constant."""
    return np.clip(standardise_rows(left) @ standardise_rows(right).T, -1, 1)


def correlate_pairs(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each row with that of the same place: shape (n_rows,); NaN where one of them is constant."""
    return np.clip((standardise_rows(left) * standardise_rows(right)).sum(axis=1), -1, 1)


def standardise_rows(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows less their mean and of length 1: their products are Pearson correlations; NaN for a constant row."""
    centred = np.asarray(values, dtype=np.float64) - values.mean(axis=1, dtype=np.float64, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    constant = values.max(axis=1, keepdims=True) == values.min(axis=1, keepdims=True)
    centred /= np.where(constant | (length == 0), np.nan, length)
    return centred
