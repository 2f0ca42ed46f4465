"""Averaged betas: one z-scored response per image and unit (vertex or voxel), and how analyses read them.

The second of two steps (``sessions`` is the first): the repeats of an image lie in different sessions. Works through blocks
of units and never holds a subject in memory.
"""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from capcortex.arrays import create_array, open_array
from capcortex.files import remedy
from capcortex.ids import as_ids, positions
from capcortex.nsd.bookkeeping import REPEATS

UNIT_BLOCK = 4096
# The surface is read region by region, for all images; the volume image set by image set, for all voxels.
IMAGE_CHUNK = {"vertex": 100, "voxel": 1}
POLICIES = ("exclude", "nanmean")


def averaging_memory_mb(n_images: int, n_trials: int) -> int:
    """Memory of `average_repeats` in MB: sums, counts and what a session adds for a block of units, and one session."""
    return 400 + UNIT_BLOCK * (n_images * 24 + n_trials * 24) // 2**20


def average_repeats(sessions: list[Path], output: Path, *, subject: str, incomplete_data: str) -> None:
    """Average the z-scored responses to the three showings of each image.

    Parameters
    ----------
    sessions
        Files of `extract_session`, all of the subject's sessions.
    output
        netCDF: ``betas`` (id73k, vertex or voxel), float32, ids ascending; a unit is NaN for all images or for none.
        Vertices: left, then right hemisphere; voxels carry their 0-based indices ``i``, ``j``, ``k``.
    subject
        Name kept in the file.
    incomplete_data
        ``exclude``: a unit that was not measured in every session is NaN, so that all values of a subject rest on three repeats.
        ``nanmean``: the mean over the repeats that were measured, as in the released code; a unit that was measured in none of
        the three showings of some image is NaN.

    Raises
    ------
    ValueError
        If an image does not occur three times over the sessions, or the sessions differ in their units.
    """
    from scipy.sparse import csr_array

    if incomplete_data not in POLICIES:
        raise ValueError(f"incomplete_data: {incomplete_data!r} is not one of {', '.join(POLICIES)}")
    with ExitStack() as stack:
        opened = [stack.enter_context(open_array(path, variables=["z", "id73k"])) for path in sessions]
        ids = np.concatenate([as_ids(session["id73k"].to_numpy()) for session in opened])
        images, image_of_trial, counts = np.unique(ids, return_inverse=True, return_counts=True)
        if (counts != REPEATS).any():
            wrong = images[counts != REPEATS][0]
            raise ValueError(
                f"{subject}: id73k {wrong} occurs {counts[counts != REPEATS][0]} times over {len(sessions)} sessions "
                f"({sessions[0]} ..), expected {REPEATS}; {remedy(sessions[0])}"
            )
        dim = str(opened[0]["z"].dims[1])
        places = {name: opened[0][name].to_numpy() for name in "ijk" if name in opened[0]}
        n_units = opened[0].sizes[dim]
        for path, session in zip(sessions, opened, strict=True):
            same = session["z"].dims[1] == dim and session.sizes[dim] == opened[0].sizes[dim]
            if not same or any(not np.array_equal(session[name].to_numpy(), places[name]) for name in places):
                raise ValueError(
                    f"{path}: {session.sizes[session['z'].dims[1]]} {session['z'].dims[1]} positions, expected the {n_units} "
                    f"of {sessions[0]}, the same ones: are the raw betas of both sessions of {subject}? {remedy(path)}"
                )
        # For each session the 0/1 matrix (image, trial) that adds up the trials of an image.
        bounds = np.cumsum([session.sizes["trial"] for session in opened])[:-1]
        sums = [
            csr_array((np.ones(rows.size), (rows, np.arange(rows.size))), shape=(images.size, rows.size))
            for rows in np.split(image_of_trial, bounds)
        ]
        with create_array(
            output,
            name="betas",
            dims=("id73k", dim),
            shape=(images.size, n_units),
            dtype="f4",
            chunks=(IMAGE_CHUNK[dim], UNIT_BLOCK),
            coords={"id73k": ("id73k", images)} | {name: (dim, values) for name, values in places.items()},
            attrs={
                "units": "z-score",
                "subject": subject,
                "incomplete_data": incomplete_data,
                "sessions": len(sessions),
            },
            fill_value=np.nan,
        ) as variable:
            for start in range(0, n_units, UNIT_BLOCK):
                stop = min(start + UNIT_BLOCK, n_units)
                total = np.zeros((images.size, stop - start))
                count = np.zeros((images.size, stop - start))
                for session, to_images in zip(opened, sums, strict=True):
                    z = session["z"][:, start:stop].to_numpy()
                    measured = np.isfinite(z)
                    total += to_images @ np.where(measured, z, 0)
                    count += to_images @ measured.astype(np.float64)
                usable = (count == REPEATS if incomplete_data == "exclude" else count > 0).all(axis=0)
                # In place: over 10,000 images each further array of this shape would take another 330 MB.
                np.divide(total, count, out=total, where=usable)
                total[:, ~usable] = np.nan
                variable[:, start:stop] = total.astype(np.float32)


def read_roi_betas(path: str | Path, units: NDArray[np.intp]) -> xr.DataArray:
    """Read the averaged betas of a region, leaving out vertices or voxels with a missing value.

    Parameters
    ----------
    path
        File of `average_repeats`.
    units
        Positions of the region on the axis of vertices or voxels.

    Returns
    -------
    DataArray (id73k, vertex) or (id73k, voxel), float32
        The coordinate of the second axis holds the positions that are left, ascending; there may be none.
    """
    wanted = np.sort(units)
    blocks = wanted // UNIT_BLOCK
    with open_array(path, variables=["betas", "id73k"]) as dataset:
        # Whole chunks, of which the region's units are kept: HDF5 is slow at picking scattered columns.
        parts = [
            dataset["betas"][:, block * UNIT_BLOCK : (block + 1) * UNIT_BLOCK].load()[
                :, wanted[blocks == block] - block * UNIT_BLOCK
            ]
            for block in np.unique(blocks)
        ] or [dataset["betas"][:, :0].load()]
        dim = parts[0].dims[1]
        betas = xr.concat(parts, dim=dim).assign_coords({dim: wanted})
    return betas[:, np.isfinite(betas.to_numpy()).all(axis=0)]


def read_image_betas(path: str | Path, id73k: ArrayLike) -> xr.DataArray:
    """Read the averaged betas of some images in all voxels that can be used.

    Parameters
    ----------
    path
        File of `average_repeats` in the volume.
    id73k
        Images, each once.

    Returns
    -------
    DataArray (id73k, voxel), float32
        Images in the order asked for; coordinates ``i``, ``j``, ``k`` (voxel).

    Raises
    ------
    ValueError
        If an image is not in the file, or no voxel can be used.
    """
    with open_array(path, variables=["betas", "id73k", "i", "j", "k"]) as dataset:
        rows = positions(id73k, dataset["id73k"].to_numpy(), what=str(path))
        usable = np.flatnonzero(np.isfinite(dataset["betas"][0].to_numpy()))
        if not usable.size:
            raise ValueError(
                f"{path}: no voxel of {dataset['betas'].shape[1]} was measured in all sessions, expected most: look for the "
                "session without data, or set config key incomplete_data to nanmean"
            )
        # Row by row: a copy of all voxels beside that of the usable ones would double the memory.
        values = np.empty((rows.size, usable.size), np.float32)
        for number, row in enumerate(rows):
            values[number] = dataset["betas"][int(row)].to_numpy()[usable]
        places = {name: ("voxel", dataset[name].to_numpy()[usable]) for name in "ijk"}
    return xr.DataArray(values, dims=("id73k", "voxel"), coords={"id73k": np.asarray(id73k), **places})
