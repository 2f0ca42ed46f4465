"""Crossnobis distances of the images of a set: squared Mahalanobis distances, cross-validated over repeats.

Averaged patterns differ by noise too, so that any distance of averages is too large, more so for noisy images. Products of
differences from different repeats have no such bias, as far as the noise of repeats is independent. The noise covariance of a
region has far more vertices or voxels than residuals; it is kept as its residuals and never formed.
"""

import logging
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import Ids, positions
from capcortex.rsa.rdm import ROUNDING, undefined_rdms
from capcortex.seeds import random_generator

LOG = logging.getLogger(__name__)

N_NOISE_IMAGES = 1000
"""Most images from whose repeats the noise covariance is estimated: 2,000 degrees of freedom with three repeats."""

LEAST_NOISE_IMAGES = 50
"""With fewer images outside the set, those in the set take part too."""


def crossnobis_memory_mb(n_images: int, n_units: int, image_set_size: int, n_repeats: int = 3) -> int:
    """Memory of `crossnobis_of_sets` in MB.

    The repeats of all images, float32; of the noise images residuals, contrasts and a copy, float64; patterns of the set twice,
    float64; matrices of contrasts by contrasts and by patterns.

    Parameters
    ----------
    n_images
        Images whose repeats are in memory.
    n_units
        Vertices or voxels of the region.
    image_set_size, n_repeats
        Images of a set, repeats of each.
    """
    n_noise = min(n_images, N_NOISE_IMAGES)
    n_patterns, dof = n_repeats * image_set_size, (n_repeats - 1) * n_noise
    repeats = n_repeats * n_images * n_units * 4
    noise = (2 * n_repeats * n_noise + dof + 2 * n_patterns) * n_units * 8
    return (repeats + noise + (3 * dof**2 + 3 * dof * n_patterns) * 8) // 2**20


@dataclass(frozen=True, eq=False)
class Noise:
    """Covariance of the noise of single responses, shrunk towards its diagonal: ``S = V (w I + (1 - w) C'C / dof) V``.

    Attributes
    ----------
    deviation : ndarray of shape (n_units,), float64
        Standard deviations, the diagonal of V.
    contrasts : ndarray of shape (dof, n_units), float64
        Orthonormal contrasts C of the repeats of each image, in units of the standard deviation: ``C'C`` is the sum of squares
        and products of residuals.
    shrinkage
        Weight w of the diagonal, above 0 up to 1.
    factor : ndarray of shape (dof, dof), float64
        Lower Cholesky factor of ``w I + (1 - w) CC' / dof``.
    """

    deviation: NDArray[np.float64]
    contrasts: NDArray[np.float64]
    shrinkage: float
    factor: NDArray[np.float64]


def estimate_noise(repeats: NDArray[np.floating]) -> Noise:
    """Estimate the covariance of noise from the residuals of repeats around the mean of their image.

    With residuals r_n (n = 1 .. N rows), standardised by the deviations of ``dof = n_images (n_repeats - 1)`` degrees of freedom,
    the weight of the diagonal is the optimal one of Schaefer and Strimmer, as rsatoolbox has it (``shrinkage_diag``)::

        w = N / dof^2 (sum_{i != j} m_ij - sum_{i != j} s_ij^2) / sum_{i != j} s_ij^2, not below 0 nor above 1
        s_ij = sum_n r_ni r_nj / (N - 1),  m_ij = sum_n r_ni^2 r_nj^2 / (N - 1)

    Sums over pairs of units need no matrix of units: ``sum_ij (sum_n r_ni r_nj)^2 = |CC'|^2`` (Frobenius) and
    ``sum_ij sum_n r_ni^2 r_nj^2 = sum_n (sum_i r_ni^2)^2``.

    Parameters
    ----------
    repeats : ndarray of shape (n_repeats, n_images, n_units)
        Single responses, finite.

    Returns
    -------
    Noise

    Raises
    ------
    ValueError
        If a unit does not vary over the repeats of any image: it has been made up, or copied from the average. If the weight
        is 0: the covariance may have no inverse.

    References
    ----------
    Schaefer and Strimmer 2005, doi 10.2202/1544-6115.1175.
    """
    from scipy.linalg import helmert
    from scipy.linalg.lapack import dpotrf

    n_repeats, n_images, n_units = repeats.shape
    n_rows, dof = n_repeats * n_images, (n_repeats - 1) * n_images
    residuals = np.array(repeats, dtype=np.float64)
    contrasts = np.tensordot(helmert(n_repeats), residuals, axes=1).reshape(dof, n_units)
    residuals -= residuals.mean(axis=0)
    deviation = np.sqrt(np.einsum("nu,nu->u", contrasts, contrasts) / dof)
    flat = np.flatnonzero(deviation <= ROUNDING * np.abs(repeats).max(axis=(0, 1)))
    if flat.size:
        raise ValueError(
            f"{flat.size} of {n_units} vertices or voxels, first number {flat[0]} (from 0) of the region, do not vary over the "
            f"repeats of any of {n_images} images, expected single responses with noise; leave such units out of the region"
        )
    contrasts /= deviation
    residuals /= deviation
    squares = np.square(residuals, out=residuals)
    gram = contrasts @ contrasts.T
    products = (np.square(gram).sum() - n_units * dof**2) / (n_rows - 1) ** 2
    fourth = (np.square(squares.sum(axis=2)).sum() - np.einsum("riu,riu->", squares, squares)) / (n_rows - 1)
    # Without any covariance there is nothing to shrink.
    some = products > ROUNDING * n_units
    shrinkage = float(np.clip(n_rows / dof**2 * (fourth / products - 1), 0, 1)) if some else 1.0
    if shrinkage == 0:
        raise ValueError(
            f"the noise covariance of {n_units} vertices or voxels needs no shrinkage by the residuals of {n_images} images, "
            "expected some: are the repeats single responses?"
        )
    gram *= (1 - shrinkage) / dof
    gram[np.diag_indices(dof)] += shrinkage
    factor, failed = dpotrf(gram, lower=1, clean=1)
    if failed:
        raise ValueError(f"the noise covariance of {n_units} vertices or voxels is not positive definite")
    return Noise(deviation, contrasts, shrinkage, factor)


def crossnobis_distances(repeats: NDArray[np.floating], noise: Noise) -> NDArray[np.float64]:
    """Squared Mahalanobis distance of every pair of images, cross-validated over repeats.

    ``d_ij = mean over ordered pairs of repeats a != b of (x_i^a - x_j^a)' S^-1 (x_i^b - x_j^b) / n_units``. Its expectation is
    0 for two images that evoke the same pattern, so that a distance can be negative; it is not clipped. By Woodbury's identity
    ``V S^-1 V = (I - C' (w I + (1 - w) CC' / dof)^-1 C (1 - w) / dof) / w``.

    Parameters
    ----------
    repeats : ndarray of shape (n_repeats, n_images, n_units)
        Single responses, finite.
    noise
        Of the same units.

    Returns
    -------
    ndarray of shape (n_pairs,), float64
        Row-major upper triangle.

    References
    ----------
    Walther et al. 2016, doi 10.1016/j.neuroimage.2015.12.012. Diedrichsen et al. 2021, arXiv 2007.02789.
    """
    from scipy.linalg import solve_triangular

    n_repeats, n_images, n_units = repeats.shape
    patterns = (repeats / noise.deviation).reshape(-1, n_units)
    seen = solve_triangular(noise.factor, noise.contrasts @ patterns.T, lower=True, check_finite=False)
    products = patterns @ patterns.T
    products -= seen.T @ seen * ((1 - noise.shrinkage) / len(noise.contrasts))
    products /= noise.shrinkage
    by_repeat = products.reshape(n_repeats, n_images, n_repeats, n_images)
    across = by_repeat.sum(axis=(0, 2)) - np.einsum("aiaj->ij", by_repeat)
    across /= n_repeats * (n_repeats - 1) * n_units
    own = across.diagonal()
    i, j = np.triu_indices(n_images, k=1)
    return own[i] + own[j] - across[i, j] - across[j, i]


def draw_noise_images(images: Ids, image_set: Ids, rng: np.random.Generator) -> Ids:
    """Draw the images from whose repeats the noise of a set's responses is estimated.

    They are not in the set. Residuals of the set's own images would make its distances too large: the covariance is then
    fitted to the very noise in the products, and its inverse turns down what makes them negative.

    Parameters
    ----------
    images
        All images with repeats.
    image_set
        Images of the set.
    rng
        Source of the draw.

    Returns
    -------
    ndarray of shape (at most N_NOISE_IMAGES,), int64
        Ascending. All images, where fewer than LEAST_NOISE_IMAGES are outside the set.
    """
    others = np.setdiff1d(images, image_set)
    if others.size < LEAST_NOISE_IMAGES:
        return np.sort(images)
    return np.sort(rng.permutation(others)[:N_NOISE_IMAGES])


def crossnobis_of_sets(
    repeats: xr.DataArray, image_sets: NDArray[np.int64], labels: list[str], *, seed: int, subject: str, what: str
) -> xr.Dataset:
    """Crossnobis distances of the images of each set, each with noise of its own draw of images.

    Parameters
    ----------
    repeats : DataArray (repeat, id73k, unit)
        Single responses to at least the images in the sets.
    image_sets : ndarray of shape (n_sets, n_images_per_set)
        ``id73k``.
    labels
        Name of each set.
    seed, subject
        What the draws depend on, beside the name of the set and the images.
    what
        Name of the repeats, for messages.

    Returns
    -------
    Dataset
        As of `capcortex.rsa.rdm.rdms_of_sets`.
    """
    images = np.asarray(repeats["id73k"].to_numpy())
    values = np.asarray(repeats.to_numpy())
    made = undefined_rdms(image_sets, labels, "crossnobis")
    rdms = made["rdm"].to_numpy()
    of_own_images, shrinkages = 0, []
    for number, (label, image_set) in enumerate(zip(labels, image_sets, strict=True)):
        drawn = draw_noise_images(images, image_set, random_generator(seed, "noise-images", subject, label))
        of_own_images += int(np.isin(image_set, drawn).all())
        noise = estimate_noise(values[:, positions(drawn, images, what=what)])
        shrinkages.append(noise.shrinkage)
        rdms[number] = crossnobis_distances(values[:, positions(image_set, images, what=what)], noise)
    LOG.info(
        "%s: noise covariance of %d units, weight of the diagonal %.3f to %.3f over %d image sets",
        *(what, values.shape[2], min(shrinkages), max(shrinkages), len(labels)),
    )
    if of_own_images:
        LOG.warning(
            "%s: of %d image sets noise was estimated from all %d images, those of the set too, because fewer than %d are "
            "outside it: distances are somewhat too large",
            *(what, of_own_images, images.size, LEAST_NOISE_IMAGES),
        )
    return made.assign(rdm=made["rdm"].copy(data=rdms))
