"""Image ids: the one place where NSD's two ways of counting images meet, and where labels are compared.

NSD counts its 73,000 images from 1 (``73KID`` in responses and designs, PNG names) and from 0 (``nsdId`` in the
stimulus table, rows of the image brick). In this study an image is known by ``id73k``, 1-based, everywhere.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ids = NDArray[np.int64]


def as_ids(values: ArrayLike, *, what: str = "image ids") -> Ids:
    """Return image ids as a 1-d int64 array, or say why they cannot be image ids.

    Parameters
    ----------
    values
        1-based 73k ids of any integer type, or floats that hold whole numbers (MATLAB stores doubles).
    what
        Name used in error messages.

    Returns
    -------
    ndarray of shape (n_images,), int64

    Raises
    ------
    ValueError
        If a value is not a whole number, is below 1, or the array is not one-dimensional.
    """
    raw = np.asarray(values)
    if raw.ndim != 1:
        raise ValueError(f"{what}: expected a 1-d array, found shape {raw.shape}")
    if raw.dtype.kind not in "iuf":
        raise ValueError(f"{what}: expected numbers, found {raw.dtype}")
    ids = raw.astype(np.int64)
    wrong = np.flatnonzero((ids != raw) | (ids < 1))
    if wrong.size:
        raise ValueError(f"{what}: ids are whole numbers from 1; found {raw[wrong[0]]} at position {wrong[0]}")
    return ids


def from_nsd_id(nsd_id: ArrayLike) -> Ids:
    """Turn 0-based ``nsdId`` (stimulus table, image brick rows) into 1-based ``id73k``."""
    # int64 first: MATLAB may hand over small unsigned types, in which 255 + 1 is 0.
    return as_ids(np.asarray(nsd_id) + np.int64(1), what="nsdId + 1")


def to_nsd_id(id73k: ArrayLike) -> Ids:
    """Turn 1-based ``id73k`` into 0-based ``nsdId``: the row of an image in the stimulus table and the image brick."""
    return as_ids(id73k) - 1


def unique_ids(values: ArrayLike, *, what: str = "image ids") -> Ids:
    """Return ids unchanged after making sure that none occurs twice.

    Raises
    ------
    ValueError
        Naming the first id that occurs twice.
    """
    ids = as_ids(values, what=what)
    seen, counts = np.unique(ids, return_counts=True)
    repeated = np.flatnonzero(counts > 1)
    if repeated.size:
        raise ValueError(f"{what}: id73k {seen[repeated[0]]} occurs {counts[repeated[0]]} times, expected once")
    return ids


def require_equal(left: ArrayLike, right: ArrayLike, *, left_name: str, right_name: str) -> Ids:
    """Check that two arrays of ids are equal, element by element, and return them.

    Raises
    ------
    ValueError
        Naming the first position and the two ids that differ.
    """
    a, b = as_ids(left, what=left_name), as_ids(right, what=right_name)
    if a.size != b.size:
        raise ValueError(f"{left_name} has {a.size} images, {right_name} has {b.size}")
    different = np.flatnonzero(a != b)
    if different.size:
        at = different[0]
        raise ValueError(f"image {at} is id73k {a[at]} in {left_name} but id73k {b[at]} in {right_name}")
    return a


def positions(wanted: ArrayLike, available: ArrayLike, *, what: str) -> NDArray[np.intp]:
    """Say where each wanted id stands in an array of available ids.

    Parameters
    ----------
    wanted
        Ids to find, of any shape.
    available
        Ids to search, each once, in any order.
    what
        Name of the array that carries ``available``, for the error message.

    Returns
    -------
    ndarray of the shape of ``wanted``, intp
        ``available[result] == wanted``.

    Raises
    ------
    ValueError
        Naming the first wanted id that is not available.
    """
    have = unique_ids(available, what=what)
    want = np.asarray(wanted)
    flat = as_ids(want.ravel(), what="wanted image ids")
    order = np.argsort(have)
    at = np.searchsorted(have[order], flat)
    found = np.zeros(flat.size, dtype=bool)
    inside = at < have.size
    found[inside] = have[order[at[inside]]] == flat[inside]
    if not found.all():
        missing = flat[~found]
        raise ValueError(f"{what} lacks id73k {missing[0]} ({missing.size} of {flat.size} wanted ids are missing)")
    return order[at].reshape(want.shape)
