"""Noise ceilings: how well any model could do, given how much the subjects' own RDMs agree."""

import numpy as np
from numpy.typing import NDArray

from capcortex.rsa.measures import compare_rdms, standardised


def between_subject_ceiling(
    rdms: NDArray[np.floating], measure: str = "pearson"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper bound of the noise ceiling from the agreement between subjects.

    Each RDM is standardised over its pairs before averaging (`capcortex.rsa.measures.standardised`).
    Lower bound of subject s: comparison with the mean of the others. Upper bound: with the mean of all, s included.

    The upper bound is one for any model where no RDM compares better with all subjects, on average, than their mean does. That
    holds for ``pearson`` (mean of RDMs of mean 0 and length 1), ``whitened-cosine`` (mean of RDMs of length 1 in the whitened
    space) and ``rho-a`` (mean of ranks). For ``spearman`` the mean of ranks is the best among RDMs without ties; a model with
    ties may lie above it. For ``tau-a`` the best RDM cannot be computed for so many pairs, and the mean of ranks is an
    approximation to it: the bound may be too low.

    Parameters
    ----------
    rdms : ndarray of shape (n_subjects, n_pairs)
        RDMs of the same images. A pair that is NaN for one subject is left out for all.
    measure
        One of `capcortex.rsa.measures.MEASURES`.

    Returns
    -------
    lower, upper : ndarrays of shape (n_subjects,), float64
        One value per subject; the ceiling is their mean. NaN if fewer than three pairs are left, or if an RDM does not vary.

    Raises
    ------
    ValueError
        If there are fewer than two subjects: one subject has nobody to agree with.

    References
    ----------
    Nili et al. 2014, doi 10.1371/journal.pcbi.1003553. Schuett et al. 2023, doi 10.7554/eLife.82566.
    """
    vectors = np.asarray(rdms, dtype=np.float64)
    if len(vectors) < 2:
        raise ValueError(f"a between-subject ceiling needs at least two subjects, found {len(vectors)}")
    used = np.asarray(np.isfinite(vectors).all(axis=0))
    standard = np.full_like(vectors, np.nan)
    standard[:, used] = standardised(vectors[:, used], measure, used)
    total = standard.sum(axis=0)
    upper = [compare_rdms(own, total, measure)[0] for own in standard]
    lower = [compare_rdms(own, total - own, measure)[0] for own in standard]
    return np.array(lower), np.array(upper)
