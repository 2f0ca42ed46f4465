"""Noise ceilings: how well any model could do, given how much the subjects' own RDMs agree."""

import numpy as np
from numpy.typing import NDArray

from capcortex.rsa.rdm import compare_rdms


def between_subject_ceiling(rdms: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper bound of the noise ceiling from the agreement between subjects.

    Each RDM is standardised over its pairs before averaging. The mean of the standardised RDMs is the vector with the
    highest possible mean Pearson correlation with all of them, so that the upper bound is one for any model.
    Lower bound of subject s: correlation with the mean of the others. Upper bound: with the mean of all, s included.

    Parameters
    ----------
    rdms : ndarray of shape (n_subjects, n_pairs)
        RDMs of the same images.

    Returns
    -------
    lower, upper : ndarrays of shape (n_subjects,), float64
        One value per subject; the ceiling is their mean.

    Raises
    ------
    ValueError
        If there are fewer than two subjects: one subject has nobody to agree with.

    References
    ----------
    Nili et al. 2014, doi 10.1371/journal.pcbi.1003553.
    """
    vectors = np.asarray(rdms, dtype=np.float64)
    if len(vectors) < 2:
        raise ValueError(f"a between-subject ceiling needs at least two subjects, found {len(vectors)}")
    standard = vectors - np.nanmean(vectors, axis=1, keepdims=True)
    standard /= np.nanstd(standard, axis=1, keepdims=True)
    total = standard.sum(axis=0)
    upper = [compare_rdms(own, total)[0] for own in standard]
    lower = [compare_rdms(own, total - own)[0] for own in standard]
    return np.array(lower), np.array(upper)
