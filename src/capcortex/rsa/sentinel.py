"""The sentinel: do captions and annotated objects belong to the same images? It needs no brain and runs on any data."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import as_ids, positions
from capcortex.rsa.rdm import compare_rdms, pair_distances

N_SHIFTS = 20
CLEARLY = 5.0
"""How many standard deviations the true pairing must lie above the shifted ones."""

LEAST_R = 0.15
"""Least correlation of the true pairing. With 1,000 real captioned photographs and all-MiniLM-L6-v2 it is 0.37, with the
miniature's 0.34; were 40 % of the images to carry a neighbour's captions, more than half of it would be gone, and no number of
image sets could hide that."""


class Sentinel(NamedTuple):
    """What the sentinel saw.

    Attributes
    ----------
    r : float
        Mean correlation of caption RDM and category RDM over image sets.
    r_shifted_by_one : float
        The same when every image gets the captions of the next one.
    distance_in_sd : float
        ``r`` minus the mean over shifts by 1, 2, .. images, in standard deviations over these shifts.
    ok : bool
        Whether ``r`` is above `LEAST_R` and ``distance_in_sd`` above `CLEARLY`.
    """

    r: float
    r_shifted_by_one: float
    distance_in_sd: float
    ok: bool


def caption_category_sentinel(
    captions: xr.DataArray, categories: xr.DataArray, image_sets: NDArray[np.int64], n_shifts: int = N_SHIFTS
) -> Sentinel:
    """Compare caption RDMs with category RDMs, as paired and with captions moved on by 1, 2, .. images.

    People name what is in a picture, so the two must agree; a slip between the tables of captions and of objects destroys the
    agreement. A slip that moves both alike is not seen here, but by ``nsd.bookkeeping.check_identities``.

    Parameters
    ----------
    captions, categories : DataArray (id73k, feature)
        Caption embeddings and object categories of the same images.
    image_sets : ndarray of shape (n_sets, n_images_per_set)
        ``id73k``.
    n_shifts
        Number of shifts that make up the comparison.

    Returns
    -------
    Sentinel

    Raises
    ------
    ValueError
        If there are no more images than shifts, so that a shift would lead back to the true pairing.
    """
    ids = np.sort(as_ids(captions["id73k"].to_numpy()))
    caption_values, category_values = captions.to_numpy(), categories.to_numpy()
    if ids.size <= n_shifts:
        raise ValueError(
            f"captions: {ids.size} images are too few for the sentinel, which shifts them by up to {n_shifts}"
        )
    place = positions(image_sets, ids, what="captions")
    rows_of_sets = positions(image_sets, categories["id73k"].to_numpy(), what="categories")
    objects = [pair_distances(category_values[row], "correlation") for row in rows_of_sets]
    means = []
    for shift in range(n_shifts + 1):
        moved = ids[(place + shift) % ids.size]
        rows = positions(moved, captions["id73k"].to_numpy(), what="captions")
        scores = [
            compare_rdms(pair_distances(caption_values[row], "correlation"), distances)[0]
            for row, distances in zip(rows, objects, strict=True)
        ]
        means.append(float(np.nanmean(scores)))
    shifted = np.array(means[1:])
    distance = float((means[0] - shifted.mean()) / shifted.std(ddof=1))
    return Sentinel(means[0], means[1], distance, distance > CLEARLY and means[0] > LEAST_R)
