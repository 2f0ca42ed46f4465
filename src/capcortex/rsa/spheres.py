"""The spheres of a searchlight: which voxels lie around each centre, and the lines of centres that the searchlight follows."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

VOXEL_BLOCK = 4096  # voxels whose spheres are counted at once
OUTSIDE_MASK, OUTSIDE_VOLUME = -1, -2


@dataclass(frozen=True, eq=False)
class Spheres:
    """The voxels around each centre, looked up when asked for: a list for a brain of NSD would take 0.8 GB.

    Attributes
    ----------
    indices : ndarray of shape (n_voxels, 3), intp
        0-based indices (i, j, k) of the voxels in the mask; the voxel axis.
    centres : ndarray of shape (n_centres,), intp
        Positions on the voxel axis, ascending.
    sizes : ndarray of shape (n_centres,), intp
        Number of voxels in each sphere, the centre included.
    grid : ndarray of shape (X + 2 reach, Y + 2 reach, Z + 2 reach), int32
        The volume in a margin as wide as a sphere reaches. In the mask: position on the voxel axis; else -1, in the margin -2.
    points : ndarray of shape (n_centres,), intp
        Where each centre stands in the flattened grid.
    steps : ndarray of shape (n_steps,), intp
        From a centre to the points of a whole sphere, in the flattened grid.
    reach : int
        How many voxels a sphere reaches from its centre along an axis.
    """

    indices: NDArray[np.intp]
    centres: NDArray[np.intp]
    sizes: NDArray[np.intp]
    grid: NDArray[np.int32]
    points: NDArray[np.intp]
    steps: NDArray[np.intp]
    reach: int

    def members(self, number: int) -> NDArray[np.int32]:
        """Return the voxels in the sphere of centre ``number`` as positions on the voxel axis, in row-major order of space."""
        found = self.grid.ravel()[self.points[number] + self.steps]
        return found[found >= 0]


def find_spheres(indices: ArrayLike, shape: tuple[int, int, int], radius: float, least_share: float) -> Spheres:
    """Find the spheres of a searchlight.

    A sphere is made of the voxels of the mask at a Euclidean distance strictly below ``radius``. A voxel of the mask is a centre
    if of the sphere's voxels that lie inside the volume at least ``least_share`` lie in the mask (Kriegeskorte et al. 2006,
    doi:10.1073/pnas.0600244103, in the form of Doerig et al. 2025, doi:10.1038/s42256-025-01072-0).

    Parameters
    ----------
    indices : shape (n_voxels, 3)
        0-based indices (i, j, k) of the voxels of the mask, each once, in any order.
    shape
        Of the volume (X, Y, Z).
    radius
        In voxels.
    least_share
        From 0 to 1.

    Returns
    -------
    Spheres

    Raises
    ------
    ValueError
        If a voxel lies outside the volume or occurs twice, the radius is not above 0, or no voxel is a centre.
    """
    where = np.asarray(indices, dtype=np.intp)
    if where.ndim != 2 or where.shape[1] != 3:
        raise ValueError(f"voxel indices: expected shape (n_voxels, 3), found {where.shape}")
    outside = np.flatnonzero(((where < 0) | (where >= shape)).any(axis=1))
    if outside.size:
        raise ValueError(f"voxel {tuple(where[outside[0]].tolist())} lies outside the volume of shape {tuple(shape)}")
    if not radius > 0:
        raise ValueError(f"searchlight radius: expected a number of voxels above 0, found {radius}")
    reach = int(np.ceil(radius)) - 1
    grid = np.full(np.add(shape, 2 * reach), OUTSIDE_VOLUME, dtype=np.int32)
    grid[tuple(slice(reach, reach + length) for length in shape)] = OUTSIDE_MASK
    points = np.ravel_multi_index(tuple((where + reach).T), grid.shape)
    flat = grid.ravel()
    flat[points] = np.arange(len(where))
    twice = np.flatnonzero(flat[points] != np.arange(len(where)))
    if twice.size:
        raise ValueError(f"voxel {tuple(where[twice[0]].tolist())} occurs twice among the voxels, expected once")

    cube = np.indices((2 * reach + 1,) * 3).reshape(3, -1)
    ball = cube[:, np.sqrt(((cube - reach) ** 2).sum(axis=0)) < radius]
    steps = np.ravel_multi_index(tuple(ball), grid.shape) - np.ravel_multi_index((reach,) * 3, grid.shape)
    sizes = np.empty(len(where), dtype=np.intp)
    shares = np.empty(len(where))
    for start in range(0, len(where), VOXEL_BLOCK):
        block = slice(start, start + VOXEL_BLOCK)
        found = flat[points[block, None] + steps]
        sizes[block] = (found >= 0).sum(axis=1)
        shares[block] = sizes[block] / (found > OUTSIDE_VOLUME).sum(axis=1)
    centres = np.flatnonzero(shares >= least_share)
    if not centres.size:
        raise ValueError(
            f"none of {len(where)} voxels is the centre of a sphere of radius {radius} with a share of {least_share} in the mask"
        )
    return Spheres(where, centres, sizes[centres], grid, points[centres], steps, reach)


class Lines(NamedTuple):
    """The centres of spheres, sorted into lines along one axis of the volume.

    Attributes
    ----------
    order : ndarray of shape (n_centres,), intp
        Numbers of the centres, line after line, each in ascending order.
    places : ndarray of shape (n_centres,), intp
        Steps from the first centre of the line, in this order.
    firsts : ndarray of shape (n_lines,), intp
        Where the first centre of each line stands in the flattened grid.
    ends : ndarray of shape (n_lines,), intp
        Number of centres up to the end of each line.
    step : int
        From a voxel to the next one on a line, in the flattened grid.
    across : ndarray of shape (n_across,), intp
        From a point of a line to the points of the plane across it that are in any sphere around a centre on the line,
        in the flattened grid; those that reach furthest along the line first.
    n_reaching : ndarray of shape (reach + 2,), intp
        How many points of ``across`` are in the sphere of a centre that is 0, 1, .., reach + 1 steps away from their plane.
    """

    order: NDArray[np.intp]
    places: NDArray[np.intp]
    firsts: NDArray[np.intp]
    ends: NDArray[np.intp]
    step: int
    across: NDArray[np.intp]
    n_reaching: NDArray[np.intp]


def find_lines(spheres: Spheres) -> Lines:
    """Sort the centres of spheres into lines, along the axis along which these are fewest."""
    strides = np.array([np.prod(spheres.grid.shape[axis + 1 :], dtype=np.intp) for axis in range(3)])
    along_axes = spheres.indices[spheres.centres].T
    axis = int(np.argmin([np.unique(spheres.points - along * strides[at]).size for at, along in enumerate(along_axes)]))
    along, step = along_axes[axis], strides[axis]
    line = spheres.points - along * step
    order = np.lexsort((along, line))
    starts = np.flatnonzero(np.diff(line[order], prepend=-1))
    ends = np.append(starts[1:], order.size)
    places = along[order] - np.repeat(along[order][starts], ends - starts)

    reach = spheres.reach
    corner = np.ravel_multi_index((reach,) * 3, spheres.grid.shape)
    ball = np.array(np.unravel_index(spheres.steps + corner, spheres.grid.shape)) - reach
    across, lengths = np.unique(spheres.steps - ball[axis] * step, return_counts=True)
    heights = (lengths - 1) // 2
    n_reaching = (heights[:, None] >= np.arange(reach + 2)).sum(axis=0)
    return Lines(
        order,
        places,
        spheres.points[order][starts],
        ends,
        int(step),
        across[np.argsort(-heights, kind="stable")],
        n_reaching,
    )
