"""From the functional volume to the cortex: NSD's transform files, sampling at three depths, and on to fsaverage.

NSD gives no affine between the volume and the surfaces; for every native vertex a file tells where it lies in the volume,
counted in voxels from 1. Two tools read these files, and differ. ``matlab`` stands for NSD's own, which made the released
surface betas; ``nsdcode`` for its Python port, which made the maps of Doerig et al. 2025:

================== ============================================= ==================================================
aspect             ``matlab``                                    ``nsdcode``
================== ============================================= ==================================================
cubic              Catmull-Rom, 4 x 4 x 4 voxels                 B-spline through the voxels (with prefilter)
linear, nearest    trilinear; halves go to the voxel above       the same
in bounds          1 <= C <= dim                                 2 <= C <= dim + 1
beyond the edge    edge voxels repeated                          the same
NaN in the volume  a sample that needs it is NaN                 0 before sampling
out of bounds      NaN                                           0
dtype              the volume's; integers rounded, saturated     the volume's; integers truncated
labels             the largest linear share wins                 the same
================== ============================================= ==================================================

C is the 1-based coordinate. The bounds of ``nsdcode`` are a slip, 1-based limits held against 0-based coordinates (issue 21
of the package; later versions have 1 <= C <= dim), that the maps share. Sources: Allen et al. 2022,
doi 10.1038/s41593-021-00962-x; Doerig et al. 2025, doi 10.1038/s42256-025-01072-0; for the kernel Keys 1981,
doi 10.1109/TASSP.1981.1163711.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capcortex.files import remedy
from capcortex.images import read_vertices

CONVENTIONS = ("matlab", "nsdcode")
METHODS = ("cubic", "linear", "nearest")
NO_DATA = 9999


def read_coordinates(path: str | Path) -> NDArray[np.float64]:
    """Read where the vertices of a hemisphere lie in the volume (``?h.func1pt8-to-layerB1.mgz`` and like it).

    Returns
    -------
    ndarray of shape (n_vertices, 3), float64
        Decimal voxel coordinates along the three axes of the volume; (1, 1, 1) is the centre of the first voxel. NaN in
        all three where one is 9999 (NSD's mark for no data) or not finite.

    Raises
    ------
    ValueError
        If the file is damaged or not of shape (n_vertices, 1, 1, 3).
    """
    values = read_vertices(path)
    if values.ndim != 4 or values.shape[1:] != (1, 1, 3):
        raise ValueError(
            f"{path}: shape {values.shape}, expected (n_vertices, 1, 1, 3): a transform from a volume to a surface; "
            f"{remedy(path)}"
        )
    coordinates = values.reshape(-1, 3).astype(np.float64)
    coordinates[(~np.isfinite(coordinates) | (coordinates == NO_DATA)).any(axis=1)] = np.nan
    return coordinates


def read_depths(paths: Sequence[str | Path], shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Read where the vertices of a hemisphere lie in a volume, at each depth; see `read_coordinates`.

    Parameters
    ----------
    paths
        Files of one hemisphere, one for each depth.
    shape
        Of the volume (X, Y, Z).

    Raises
    ------
    ValueError
        If the depths differ in their number of vertices, or half of the vertices or more lie outside the volume: the field of
        view of a whole brain has most of them inside.
    """
    depths = [read_coordinates(path) for path in paths]
    for path, coordinates in zip(paths, depths, strict=True):
        if len(coordinates) != len(depths[0]):
            raise ValueError(
                f"{path}: {len(coordinates)} vertices, expected {len(depths[0])}, those of {paths[0]}; is it the file of "
                f"another subject or hemisphere? {remedy(path)}"
            )
        inside = ((coordinates >= 1) & (coordinates <= shape)).all(axis=1)
        if inside.mean() <= 0.5:
            placed = coordinates[~np.isnan(coordinates[:, 0])]
            found = f"coordinates go from {placed.min():g} to {placed.max():g}" if placed.size else f"all are {NO_DATA}"
            raise ValueError(
                f"{path}: {inside.sum()} of {inside.size} vertices lie inside the volume of shape {tuple(shape)} ({found}), "
                f"expected most; is it the file of another subject or space? {remedy(path)}"
            )
    return depths


def sample_volume(
    volume: NDArray[Any], coordinates: NDArray[np.floating], *, method: str, convention: str
) -> NDArray[Any]:
    r"""Interpolate a volume at points.

    Separable along the axes: with the voxels :math:`v_{ijk}` around a point, and the distances :math:`d` of the point to
    the voxel below it along each axis, the value is :math:`\sum w_i(d_x) w_j(d_y) w_k(d_z) v_{ijk}`. ``linear``:
    :math:`w = (1 - d, d)`. ``cubic`` under ``matlab`` (Catmull-Rom, a = -0.5):
    :math:`w = \tfrac12(-d + 2d^2 - d^3,\ 2 - 5d^2 + 3d^3,\ d + 4d^2 - 3d^3,\ -d^2 + d^3)`. ``nearest``: halves go to the
    voxel above. What the conventions share, and where they differ, stands in the table at the head of this module.

    Parameters
    ----------
    volume : ndarray of shape (X, Y, Z)
        Integers or floating point; NaN where there is no value.
    coordinates : ndarray of shape (n_points, 3)
        1-based decimal voxel coordinates; NaN where a point has no place.
    method
        One of `METHODS`.
    convention
        One of `CONVENTIONS`.

    Returns
    -------
    ndarray of shape (n_points,), dtype of ``volume``
        ``matlab``: NaN where a point is out of bounds or one of its voxels is NaN. Voxels of weight exactly 0 are not among
        them: a point on the centre of a voxel has that voxel's value whatever lies beside it. (NSD's tool multiplies NaN
        by 0; the two differ only on the planes through voxel centres.) Integers are rounded, halves away from zero, and
        kept within the range of their type, with 0 in place of NaN, as MATLAB converts. ``nsdcode``: 0 where a point is
        out of bounds; integers are truncated towards zero. (The package's own result for integers out of bounds is not
        defined.)

    Raises
    ------
    ValueError
        If the volume or the coordinates have another shape or type, or ``method`` or ``convention`` is unknown.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    inside = _in_bounds(volume, coordinates, convention)
    if convention == "nsdcode":
        from scipy.ndimage import map_coordinates

        samples = np.zeros(len(coordinates))
        samples[inside] = map_coordinates(
            np.nan_to_num(volume).astype(np.float64),
            (coordinates[inside] - 1).T,
            order={"cubic": 3, "linear": 1, "nearest": 0}[method],
            mode="nearest",
        )
        return samples.astype(volume.dtype)

    values = volume.ravel()
    total = np.zeros(int(inside.sum()))
    for weights, positions in _neighbours(coordinates[inside], volume.shape, method):
        total += np.multiply(weights, values[positions], out=np.zeros_like(total), where=weights != 0)
    samples = np.full(len(coordinates), np.nan)
    samples[inside] = total
    return _as_matlab_converts(samples, volume.dtype)


def sample_labels(volume: NDArray[Any], coordinates: NDArray[np.floating], *, convention: str) -> NDArray[Any]:
    """Give each point the label that has the largest share in its surroundings (NSD's ``wta``: winner takes all).

    The share of a label is the linear interpolation of a volume that is 1 at the label's voxels and 0 elsewhere. Of labels
    with equal shares the smallest wins.

    Parameters
    ----------
    volume : ndarray of shape (X, Y, Z)
        Whole numbers of any type, in NSD's files -1 (no cortex), 0 (no label), 1, 2, ...
    coordinates : ndarray of shape (n_points, 3)
        1-based decimal voxel coordinates; NaN where a point has no place.
    convention
        One of `CONVENTIONS`; they differ in their bounds and in what stands for a point out of bounds.

    Returns
    -------
    ndarray of shape (n_points,), dtype of ``volume``
        Out of bounds: NaN under ``matlab`` if the volume is of floating point, otherwise 0.

    Raises
    ------
    ValueError
        If a label is not a whole number, the volume or the coordinates have another shape or type, or ``convention`` is
        unknown.
    """
    inside = _in_bounds(volume, coordinates, convention)
    labels = np.unique(volume)
    broken = labels[~np.isfinite(labels) | (labels != np.floor(labels))]
    if broken.size:
        raise ValueError(f"labels are whole numbers; found {broken[0]} in the volume")
    neighbours = list(_neighbours(coordinates[inside], volume.shape, "linear"))
    values = volume.ravel()
    around = [values[positions] for _, positions in neighbours]
    winner = np.full(int(inside.sum()), labels[0])
    largest = np.zeros(winner.size)
    for label in labels:  # ascending: a later label wins only with a larger share
        share = np.zeros(winner.size)
        for (weights, _), here in zip(neighbours, around, strict=True):
            share += weights * (here == label)
        wins = share > largest
        winner[wins] = label
        largest[wins] = share[wins]
    missing = np.nan if convention == "matlab" and volume.dtype.kind == "f" else 0
    samples = np.full(len(coordinates), missing, volume.dtype)
    samples[inside] = winner
    return samples


def project_to_fsaverage(
    volume: NDArray[np.floating],
    depths: list[NDArray[np.floating]],
    index: NDArray[np.intp],
    *,
    convention: str,
) -> tuple[NDArray[np.floating], dict[str, int]]:
    """Bring a map from the volume to one hemisphere of fsaverage.

    The map is sampled at each native vertex and depth, averaged over the depths, and each fsaverage vertex takes the value
    of its native vertex.

    ``nsdcode`` does so exactly as the maps of Doerig et al. 2025 were made: cubic, where voxels without value are 0, and a
    depth at which a vertex is not valid enters the mean as 0.

    ``matlab`` has the bounds, the kernels and the mean of NSD's own tool, in which one missing depth leaves the vertex
    without value. What it does beside missing voxels is ours. Searchlight maps have no value outside their centres, and the
    crowns of the gyri lie close to that border. Strict cubic sampling, which needs two voxels on every side, would lose them
    (two of five vertices of the miniature); zeros, as in the released code, pull the values there towards 0. So a sample is
    cubic where all 4 x 4 x 4 voxels have a value, linear where the inner 2 x 2 x 2 have, that of the nearest voxel where
    this one has, and otherwise NaN. Each sample is thus made of measured values alone, with weights that add up to 1.

    Parameters
    ----------
    volume : ndarray of shape (X, Y, Z), floating point
        The map; NaN where it has no value.
    depths : list of ndarray of shape (n_vertices, 3)
        From `read_coordinates`, for layerB1, layerB2 and layerB3 of one hemisphere.
    index : ndarray of shape (n_fsaverage,), intp
        From `capcortex.nsd.vertex_index.read_vertex_index`, for the same hemisphere.
    convention
        One of `CONVENTIONS`.

    Returns
    -------
    values : ndarray of shape (n_fsaverage,), dtype of ``volume``
        In the unit of the map. ``matlab``: NaN where there is no value; ``nsdcode``: no NaN.
    counts : dict
        fsaverage vertices by the coarsest of the methods at their depths: ``cubic``, ``linear``, ``nearest``, and ``none``
        where a depth had no value at all (NaN under ``matlab``, a 0 in the mean under ``nsdcode``).

    Raises
    ------
    ValueError
        If the volume is not of floating point, the depths differ in their number of vertices, ``index`` points beyond it, or
        an argument of `sample_volume` is wrong.
    """
    if volume.dtype.kind != "f":
        raise ValueError(f"a map to be projected is of floating point; found {volume.dtype}")
    sizes = {len(coordinates) for coordinates in depths}
    if len(sizes) != 1:
        raise ValueError(f"depths have different numbers of vertices: {sorted(sizes)}; are they of one hemisphere?")
    n_vertices = sizes.pop()
    if index.min() < 0 or index.max() >= n_vertices:
        raise ValueError(
            f"the index points at vertices {index.min()} to {index.max()} (counted from 0), but the depths have {n_vertices} "
            "vertices; are they of one hemisphere?"
        )
    sampled, coarseness = zip(*(_sample_map(volume, coordinates, convention) for coordinates in depths), strict=True)
    values = np.mean(sampled, axis=0, dtype=volume.dtype)[index]
    counts = np.bincount(np.max(coarseness, axis=0)[index], minlength=len(METHODS) + 1)
    return values, dict(zip((*METHODS, "none"), counts.tolist(), strict=True))


def _sample_map(
    volume: NDArray[np.floating], coordinates: NDArray[np.floating], convention: str
) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """Sample a map at one depth; also the position in `METHODS` of the method that gave the value, or its length if none."""
    samples = sample_volume(volume, coordinates, method="cubic", convention=convention)
    coarseness = np.zeros(len(samples), dtype=np.intp)
    if convention == "nsdcode":
        coarseness[~_in_bounds(volume, coordinates, convention)] = len(METHODS)
        return samples, coarseness
    for step, method in enumerate(METHODS[1:], start=1):
        missing = np.isnan(samples)
        samples[missing] = sample_volume(volume, coordinates[missing], method=method, convention=convention)
        coarseness[missing] = step
    coarseness[np.isnan(samples)] = len(METHODS)
    return samples, coarseness


def _in_bounds(volume: NDArray[Any], coordinates: NDArray[np.floating], convention: str) -> NDArray[np.bool_]:
    """Say which points lie in the volume, after checking what the sampling functions were given."""
    if convention not in CONVENTIONS:
        raise ValueError(f"convention {convention!r} is not one of {', '.join(CONVENTIONS)}")
    if volume.ndim != 3 or volume.dtype.kind not in "iuf":
        raise ValueError(f"volume: expected numbers of shape (X, Y, Z), found {volume.dtype} of shape {volume.shape}")
    if coordinates.ndim != 2 or coordinates.shape[1] != 3:
        raise ValueError(f"coordinates: expected shape (n_points, 3), found {coordinates.shape}")
    first = 1 if convention == "matlab" else 2
    last = np.array(volume.shape) + first - 1
    return np.all((coordinates >= first) & (coordinates <= last), axis=1)


def _neighbours(
    coordinates: NDArray[np.floating], shape: tuple[int, ...], method: str
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.intp]]]:
    """Yield the voxels that have a part in each point, one after the other: weights (n_points,) and flat positions."""
    points = np.asarray(coordinates, dtype=np.float64).T - 1
    below = np.floor(points + 0.5 if method == "nearest" else points)
    d = points - below
    if method == "nearest":
        offsets, weights = [0], [np.ones_like(d)]
    elif method == "linear":
        offsets, weights = [0, 1], [1 - d, d]
    else:
        offsets = [-1, 0, 1, 2]
        weights = [
            0.5 * (-d + 2 * d**2 - d**3),
            0.5 * (2 - 5 * d**2 + 3 * d**3),
            0.5 * (d + 4 * d**2 - 3 * d**3),
            0.5 * (-(d**2) + d**3),
        ]
    last = np.array(shape)[:, None] - 1
    voxels = [np.clip(below.astype(np.intp) + offset, 0, last) for offset in offsets]
    for i, j, k in product(range(len(offsets)), repeat=3):
        positions = np.ravel_multi_index((voxels[i][0], voxels[j][1], voxels[k][2]), shape)
        yield weights[i][0] * weights[j][1] * weights[k][2], positions


def _as_matlab_converts(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Convert from double as MATLAB's ``cast``: integers are rounded, halves away from zero, and saturated; NaN is 0."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    rounded = np.copysign(np.floor(np.abs(values) + 0.5), values)
    return np.clip(np.nan_to_num(rounded), limits.min, limits.max).astype(dtype)
