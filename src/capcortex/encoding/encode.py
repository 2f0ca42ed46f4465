"""Encoding: how well the responses of a unit (vertex or voxel) to new images are predicted from features of the images.

Between the regression (``fractional_ridge``) and the maps of ``inference.maps``. Units are fitted on a subject's own images and
tested on images that all subjects saw, as in Doerig et al. 2025, doi:10.1038/s42256-025-01072-0 (Fig. 1c), with three differences
from the released code: each unit has a fraction of its own (there one for the whole brain, which the many units without signal
choose), the mean response is part of the prediction, and the largest fraction is 1, not 1.05.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capcortex.encoding.fractional_ridge import (
    FRACTIONS,
    choose_fractions,
    cross_validate,
    fit,
    fractional_ridge_memory_mb,
    make_design,
    predict,
    project,
)

LEAST_TEST_IMAGES = 10
"""Over fewer images a correlation says little: of two it is 1 or -1."""

UNITS_AT_ONCE = 4096
"""Units of a block; averaged betas are kept in such blocks."""


def encoding_memory_mb(n_images: int, n_features: int) -> int:
    """Memory in MB of `encode_units`: a block as it is read, parted and without missing responses, and the regression."""
    block = 4 * UNITS_AT_ONCE * n_images * 3 // 2**20
    return 350 + block + fractional_ridge_memory_mb(n_images, n_features, UNITS_AT_ONCE, FRACTIONS.size)


class Encoding(NamedTuple):
    """How well units are predicted.

    Attributes
    ----------
    r : ndarray of shape (n_units,), float64
        Pearson correlation over test images of predicted and measured responses. NaN for a unit that lacks a
        response to any image, or whose prediction or response is the same for all test images.
    fraction : ndarray of shape (n_units,), float64
        Fraction of the length of least-squares coefficients that cross-validation chose; NaN for a unit that lacks a response.
    cross_validated_r2 : ndarray of shape (n_units,), float64
        R2 of that fraction on training images that were held out, mean over folds; NaN as ``fraction``, and for a unit whose
        responses are all equal.
    """

    r: NDArray[np.float64]
    fraction: NDArray[np.float64]
    cross_validated_r2: NDArray[np.float64]


def encode_units(
    training_features: NDArray[np.floating],
    test_features: NDArray[np.floating],
    blocks: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]],
) -> Encoding:
    """Fit units on training images, one block after the other, and test them on others.

    Parameters
    ----------
    training_features : ndarray of shape (n_training_images, n_features)
        Finite.
    test_features : ndarray of shape (n_test_images, n_features)
        Finite.
    blocks
        Responses of a block of units to the training images, (n_training_images, n_units), and to the test images,
        (n_test_images, n_units); NaN where a response is missing.

    Returns
    -------
    Encoding
        Of all units, in the order of the blocks.

    Raises
    ------
    ValueError
        If a test feature is not finite; further see `capcortex.encoding.fractional_ridge.make_design`.
    """
    bad = np.flatnonzero(~np.isfinite(test_features).all(axis=1))
    if bad.size:
        raise ValueError(
            f"features of test images: row {bad[0]} is not finite ({bad.size} of {len(test_features)} rows)"
        )
    design = make_design(training_features)
    parts = []
    for training, test in blocks:
        found = np.full((3, training.shape[1]), np.nan)
        whole = np.flatnonzero(np.isfinite(training).all(axis=0) & np.isfinite(test).all(axis=0))
        if whole.size:
            projections = project(design, training[:, whole])
            scores = cross_validate(design, projections)
            fraction = choose_fractions(design.fractions, scores)
            model = fit(design, projections, fraction)
            predicted = predict(test_features, model.coefficients, model.intercept)
            best = scores[np.searchsorted(design.fractions, fraction), np.arange(whole.size)]
            found[:, whole] = correlate_columns(predicted, test[:, whole]), fraction, best
        parts.append(found)
    return Encoding(*np.concatenate(parts, axis=1))


def correlate_columns(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each column with that of the same place: shape (n_columns,); NaN where one of them is constant."""
    standard = []
    for values in (left, right):
        centred = values - values.mean(axis=0, dtype=np.float64)
        length = np.sqrt((centred**2).sum(axis=0))
        constant = values.max(axis=0) == values.min(axis=0)
        standard.append(centred / np.where(constant | (length == 0), np.nan, length))
    return np.clip((standard[0] * standard[1]).sum(axis=0), -1, 1)
