"""From native surfaces to fsaverage: the native vertex nearest to each vertex of fsaverage.

By itself, because regions and betas take it too: what else changes in ``spaces`` reads no beta again.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capcortex.files import remedy
from capcortex.images import read_vertices


def read_vertex_index(path: str | Path, n_vertices: int) -> NDArray[np.intp]:
    """Read the native vertex nearest to each fsaverage vertex of a hemisphere (``?h.white-to-fsaverage.mgz``).

    Parameters
    ----------
    path
        1-based numbers that count the vertices of this hemisphere alone, on the right as on the left.
    n_vertices
        Native vertices of this hemisphere.

    Returns
    -------
    ndarray of shape (n_fsaverage,), intp
        0-based.

    Raises
    ------
    ValueError
        If the file is damaged or not of shape (n_fsaverage, 1, 1); if a number is not whole, below 1 or above
        ``n_vertices``; or if none lies above 0.6 of ``n_vertices``. The vertices of fsaverage cover the whole sphere, so
        this happens only when the index of one hemisphere meets the vertices of both, and would read the left for the right.
    """
    values = read_vertices(path)
    if values.ndim != 3 or values.shape[1:] != (1, 1) or not values.size:
        raise ValueError(
            f"{path}: shape {values.shape}, expected (n_fsaverage, 1, 1): a transform between surfaces; {remedy(path)}"
        )
    numbers = values.ravel()
    wrong = np.flatnonzero(~((numbers >= 1) & (numbers <= n_vertices) & (numbers == np.floor(numbers))))
    if wrong.size:
        raise ValueError(
            f"{path}: position {wrong[0]} holds {numbers[wrong[0]]} ({wrong.size} of {numbers.size} are wrong), expected "
            f"whole numbers from 1 to {n_vertices}, the native vertices of this hemisphere; is it the file of another "
            f"subject or hemisphere? {remedy(path)}"
        )
    if numbers.max() <= 0.6 * n_vertices:
        raise ValueError(
            f"{path}: the largest number is {numbers.max():.0f} of {n_vertices} vertices; the file counts the vertices of "
            "one hemisphere, so give it the vertices of that hemisphere, not of both"
        )
    return numbers.astype(np.intp) - 1
