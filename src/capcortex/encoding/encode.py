"""Encoding: how well the responses of a unit (vertex or voxel) to new images are predicted from features of the images.

Between the regression (``fractional_ridge``) and the maps of ``inference.maps``. Units are fitted on a subject's own images and
tested on images that all subjects saw, as in Doerig et al. 2025, doi:10.1038/s42256-025-01072-0 (Fig. 1c), with three differences
from the released code: each unit has a fraction of its own (there one for the whole brain, which the many units without signal
choose), the mean response is part of the prediction, and the largest fraction is 1, not 1.05.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capcortex.encoding.fractional_ridge import (
    FRACTIONS,
    N_FOLDS,
    RELEASED_FRACTIONS,
    choose_fractions,
    cross_validate,
    fit,
    fit_blocks,
    fractional_ridge_memory_mb,
    make_design,
    predict,
    project,
)
from capcortex.ids import Ids, positions

Blocks = Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]]
"""Responses of a block of units to training images, (n_training_images, n_units), and test images, (n_test_images, n_units)."""

LARGEST_INTEGER = np.iinfo(np.int16).max

LEAST_TEST_IMAGES = 10
"""Over fewer images a correlation says little: of two it is 1 or -1."""

UNITS_AT_ONCE = 4096
"""Units of a block; averaged betas are kept in such blocks."""


def encoding_memory_mb(n_images: int, n_features: int, n_units: int) -> int:
    """Memory in MB of `encode_units`: a block as it is read, parted and without missing responses; the regression; coefficients.

    Coefficients of all units, int16, are there twice while their blocks are joined.
    """
    block = 4 * UNITS_AT_ONCE * n_images * 3 // 2**20
    coefficients = 2 * 2 * n_features * n_units // 2**20
    return 350 + block + coefficients + fractional_ridge_memory_mb(n_images, n_features, UNITS_AT_ONCE, FRACTIONS.size)


def part_images(
    ids: Ids, shared: Ids, *, subject: str, switch: str, what: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Part a subject's images into those that a model is fitted on and those that it is tested on.

    Parameters
    ----------
    ids : ndarray of shape (n_images,)
        ``id73k`` of the subject's images.
    shared : ndarray of shape (n_test_images,)
        ``id73k`` of the images that all subjects saw three times, all among them.
    subject, switch, what
        The subject, what in the config asks for no fit, and the file of the images, for messages.

    Returns
    -------
    training, test : ndarray of intp
        Places of both in ``ids``; the test images are in the order of ``shared``.

    Raises
    ------
    ValueError
        If either are too few, or a shared image is not among the subject's.
    """
    test = positions(shared, ids, what=what)
    training = np.setdiff1d(np.arange(ids.size), test)
    if training.size <= N_FOLDS or test.size < LEAST_TEST_IMAGES:
        raise ValueError(
            f"{subject}: {training.size} images to train on and {test.size} that all subjects saw three times, expected "
            f"more than {N_FOLDS} and at least {LEAST_TEST_IMAGES}; use more sessions, or write {switch} "
            "into the config"
        )
    return training, test


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
    intercept : ndarray of shape (n_units,), float64
        Predicted response where all features are 0; NaN as ``fraction``.
    coefficients, coefficient_scale : ndarrays of shapes (n_features, n_units), int16, and (n_units,), float32
        Coefficients of the prediction, from `pack_coefficients`.
    """

    r: NDArray[np.float64]
    fraction: NDArray[np.float64]
    cross_validated_r2: NDArray[np.float64]
    intercept: NDArray[np.float64]
    coefficients: NDArray[np.int16]
    coefficient_scale: NDArray[np.float32]


def pack_coefficients(coefficients: NDArray[np.floating]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Write the coefficients of each unit as whole multiples of a 32,767th of its largest, half the size of single precision.

    A prediction ``x'b`` so loses at most ``|x|_1 max|b| / 65534``, about a 20,000th of the length of ``b`` in practice.

    Parameters
    ----------
    coefficients : ndarray of shape (n_features, n_units)
        NaN for units that have none.

    Returns
    -------
    packed : ndarray of shape (n_features, n_units), int16
    scale : ndarray of shape (n_units,), float32
        NaN for units that have none; 0 where all coefficients are 0.
    """
    scale = (np.abs(coefficients).max(axis=0) / LARGEST_INTEGER).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1)
    multiples = np.rint(np.where(np.isnan(scale), 0, coefficients) / divisor)
    return np.clip(multiples, -LARGEST_INTEGER, LARGEST_INTEGER).astype(np.int16), scale


def unpack_coefficients(packed: NDArray[np.int16], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients that `pack_coefficients` wrote: shape (n_features, n_units), float32; NaN for units that have none."""
    return packed * scale


def encode_units(
    training_features: NDArray[np.floating],
    test_features: NDArray[np.floating],
    blocks: Blocks,
) -> Encoding:
    """Fit units on training images, one block after the other, and test them on others.

    Parameters
    ----------
    training_features : ndarray of shape (n_training_images, n_features)
        Finite.
    test_features : ndarray of shape (n_test_images, n_features)
        Finite.
    blocks
        NaN where a response is missing.

    Returns
    -------
    Encoding
        Of all units, in the order of the blocks.

    Raises
    ------
    ValueError
        If a test feature is not finite; further see `capcortex.encoding.fractional_ridge.make_design`.
    """
    _require_finite(test_features)
    design = make_design(training_features)
    parts = []
    for training, test in blocks:
        n_units = training.shape[1]
        found = np.full((4, n_units), np.nan)
        coefficients = np.full((training_features.shape[1], n_units), np.nan, np.float32)
        whole = _without_gaps(training, test)
        if whole.size:
            projections = project(design, training[:, whole])
            scores = cross_validate(design, projections)
            fraction = choose_fractions(design.fractions, scores)
            model = fit(design, projections, fraction)
            predicted = predict(test_features, model.coefficients, model.intercept)
            best = scores[np.searchsorted(design.fractions, fraction), np.arange(whole.size)]
            found[:, whole] = correlate_columns(predicted, test[:, whole]), fraction, best, model.intercept
            coefficients[:, whole] = model.coefficients
        parts.append((*found, *pack_coefficients(coefficients)))
    return Encoding(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))


class ReleasedEncoding(NamedTuple):
    """How well units are predicted as the released code of Doerig et al. 2025 does it.

    Attributes
    ----------
    r_as_released : ndarray of shape (n_units,), float64
        As ``r`` of `Encoding`.
    fraction_as_released : float
        The one fraction of all units.
    """

    r_as_released: NDArray[np.float64]
    fraction_as_released: float


def encode_as_released(
    training_features: NDArray[np.floating], test_features: NDArray[np.floating], blocks: Callable[[], Blocks]
) -> ReleasedEncoding:
    """Fit and test units with one fraction for all of them, whose R2 is the best on average, from the released grid.

    That predictions lack the mean response there changes no correlation over images.

    Parameters
    ----------
    training_features, test_features
        As for `encode_units`.
    blocks
        Called twice: the fraction is known when all units were read once.

    Returns
    -------
    ReleasedEncoding

    Raises
    ------
    ValueError
        As `encode_units`; if no unit has a response to every image.
    """
    _require_finite(test_features)
    complete = [_without_gaps(training, test) for training, test in blocks()]

    def training_responses() -> Iterator[NDArray[np.floating]]:
        for (training, _), whole in zip(blocks(), complete, strict=True):
            if whole.size:
                yield training[:, whole]

    def test_responses() -> Iterator[tuple[NDArray[np.floating], NDArray[np.intp]]]:
        for (_, test), whole in zip(blocks(), complete, strict=True):
            yield test, whole

    if not any(whole.size for whole in complete):
        raise ValueError("no vertex has a response to every image, so there is none to choose a fraction by")
    fits = fit_blocks(make_design(training_features, RELEASED_FRACTIONS), training_responses, shared=True)
    parts, fraction = [], np.nan
    for test, whole in test_responses():
        r = np.full(test.shape[1], np.nan)
        if whole.size:
            model, _ = next(fits)
            predicted = predict(test_features, model.coefficients, model.intercept, keep_mean=False)
            r[whole] = correlate_columns(predicted, test[:, whole])
            fraction = float(model.fraction[0])
        parts.append(r)
    return ReleasedEncoding(np.concatenate(parts), fraction)


def _require_finite(test_features: NDArray[np.floating]) -> None:
    bad = np.flatnonzero(~np.isfinite(test_features).all(axis=1))
    if bad.size:
        raise ValueError(
            f"features of test images: row {bad[0]} is not finite ({bad.size} of {len(test_features)} rows)"
        )


def _without_gaps(training: NDArray[np.floating], test: NDArray[np.floating]) -> NDArray[np.intp]:
    """Units that have a response to every image."""
    return np.flatnonzero(np.isfinite(training).all(axis=0) & np.isfinite(test).all(axis=0))


def agreement(responses: NDArray[np.floating]) -> NDArray[np.float64]:
    """Agreement of each subject with the others: r over images of the own responses and the mean of the others', unit by unit.

    The released code calls it a noise ceiling. It is none for models, which are not bound by how other people respond at the
    same place, and can exceed it.

    Parameters
    ----------
    responses : ndarray of shape (n_subjects, n_images, n_units)
        NaN where a response is missing.

    Returns
    -------
    ndarray of shape (n_subjects, n_units), float64
        NaN where the subject, or every other, lacks a response to any image. Subjects that lack one are none of the others.

    References
    ----------
    Doerig et al. 2025, doi 10.1038/s42256-025-01072-0 (Fig. 1d).
    """
    complete = np.isfinite(responses).all(axis=1)
    known = np.where(complete[:, None], responses, 0)
    total, count = known.sum(axis=0, dtype=np.float64), complete.sum(axis=0)
    found = np.full(complete.shape, np.nan)
    for subject, own in enumerate(known):
        defined = np.flatnonzero(complete[subject] & (count > 1))
        others = (total[:, defined] - own[:, defined]) / (count[defined] - 1)
        found[subject, defined] = correlate_columns(own[:, defined], others)
    return found


def correlate_columns(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each column with that of the same place: shape (n_columns,); NaN where one of them is constant."""
    standard = []
    for values in (left, right):
        centred = values - values.mean(axis=0, dtype=np.float64)
        length = np.sqrt((centred**2).sum(axis=0))
        constant = values.max(axis=0) == values.min(axis=0)
        standard.append(centred / np.where(constant | (length == 0), np.nan, length))
    return np.clip((standard[0] * standard[1]).sum(axis=0), -1, 1)
