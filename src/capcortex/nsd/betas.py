"""Surface betas: from single-trial sessions to one averaged response per image and vertex.

Two steps, so that raw sessions can be dropped one by one: a session is z-scored and kept small (``extract_session``), then
the repeats of each image, which lie in different sessions, are averaged (``average_repeats``). Both work through blocks of
vertices; neither holds a session, let alone a subject, in memory.
"""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.arrays import create_array, open_array
from capcortex.ids import as_ids
from capcortex.nsd.bookkeeping import REPEATS

VERTEX_BLOCK = 4096
IMAGE_CHUNK = 100
# z-scores (ddof 0) of n trials cannot exceed sqrt(n - 1), below 27.4 for NSD's 750: int16 steps of 0.001 hold them all,
# and their rounding error (standard deviation 0.0003) is nothing beside the noise of a trial (about 1).
Z_STEP = 0.001
Z_MISSING = -32768
MOST_TRIALS = 1000

POLICIES = ("exclude", "nanmean")


def extraction_memory_mb(n_trials: int) -> int:
    """Memory of `extract_session` in MB: a few float64 copies of a block of vertices, beside Python and its libraries."""
    return 400 + 6 * VERTEX_BLOCK * n_trials * 8 // 2**20


def averaging_memory_mb(n_images: int, n_trials: int) -> int:
    """Memory of `average_repeats` in MB: sums, counts and what a session adds for a block of vertices, and one session."""
    return 400 + VERTEX_BLOCK * (n_images * 24 + n_trials * 24) // 2**20


def zscore_trials(betas: NDArray[np.floating]) -> NDArray[np.float64]:
    """Standardise each unit over the trials of one session.

    ``z = (beta - mean) / sd`` with the standard deviation of the population (ddof 0), as in the released code.

    Parameters
    ----------
    betas : ndarray of shape (n_trials, n_units)
        Single-trial betas in any unit; the scale drops out.

    Returns
    -------
    ndarray of shape (n_trials, n_units), float64
        NaN for a unit that has a missing value in any trial, or no variance: it was not measured in this session.
    """
    values = np.asarray(betas, dtype=np.float64)
    centred = values - values.mean(axis=0)
    deviation = np.sqrt(np.mean(centred**2, axis=0))
    # A constant unit can show a deviation of rounding size; relative to its mean that is no variance.
    constant = ~(deviation > 1e-7 * np.abs(values).max(axis=0, initial=0))
    deviation[constant] = np.nan
    return centred / deviation


def open_surface_session(path: str | Path, n_trials: int) -> NDArray[Any]:
    """Map the betas of one hemisphere and session into memory without reading them.

    Parameters
    ----------
    path
        ``?h.betas_sessionNN.mgh``: big-endian float32, shape (n_vertices, 1, 1, n_trials), percent signal change.
    n_trials
        Trials that the bookkeeping expects.

    Returns
    -------
    ndarray of shape (n_vertices, n_trials)
        A memory map.

    Raises
    ------
    ValueError
        If the file is damaged, or its shape is not that of a surface session with ``n_trials`` trials.
    """
    try:
        data = np.asanyarray(nibabel.freesurfer.mghformat.load(str(path)).dataobj)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path}: not a whole mgh file ({error}); remove it and fetch it again: snakemake '{path}'"
        ) from error
    if data.ndim != 4 or data.shape[1:3] != (1, 1) or data.shape[3] != n_trials:
        raise ValueError(
            f"{path}: shape {data.shape}, expected (n_vertices, 1, 1, {n_trials}): responses.tsv lists {n_trials} trials"
        )
    return data[:, 0, 0, :]


def extract_session(hemispheres: list[Path], trials: pd.DataFrame, output: Path) -> None:
    """Z-score one session of surface betas and keep the trials of images that were seen three times.

    Parameters
    ----------
    hemispheres
        Files of the left and the right hemisphere.
    trials
        The session's rows of ``trials.tsv`` in order.
    output
        netCDF: ``z`` (trial, vertex), int16 steps of 0.001, missing where a vertex was not measured in this session;
        ``id73k`` (trial). Vertices: left, then right hemisphere.
    """
    n_trials = len(trials)
    if n_trials > MOST_TRIALS:
        raise ValueError(
            f"a session of {n_trials} trials: z-scores of more than {MOST_TRIALS} trials may not fit int16"
        )
    sizes = [len(open_surface_session(path, n_trials)) for path in hemispheres]
    kept = np.flatnonzero(trials["showings"].to_numpy() == REPEATS)
    with create_array(
        output,
        name="z",
        dims=("trial", "vertex"),
        shape=(kept.size, sum(sizes)),
        dtype="i2",
        chunks=(kept.size, VERTEX_BLOCK),
        coords={"id73k": ("trial", trials["id73k"].to_numpy()[kept])},
        attrs={"units": "z-score over the trials of the session", "scale_factor": Z_STEP},
        fill_value=Z_MISSING,
    ) as variable:
        offset = 0
        for path, size in zip(hemispheres, sizes, strict=True):
            for start in range(0, size, VERTEX_BLOCK):
                # Mapped anew for every block: what was read of a map counts as memory of the job while the map lives.
                block = open_surface_session(path, n_trials)[start : start + VERTEX_BLOCK].T
                z = zscore_trials(block)[kept]
                steps = np.where(np.isfinite(z), np.rint(z / Z_STEP), Z_MISSING).astype(np.int16)
                variable[:, offset + start : offset + start + steps.shape[1]] = steps
            offset += size


def average_repeats(sessions: list[Path], output: Path, *, subject: str, incomplete_vertices: str) -> None:
    """Average the z-scored responses to the three showings of each image.

    Parameters
    ----------
    sessions
        Files of `extract_session`, all of the subject's sessions.
    output
        netCDF: ``betas`` (id73k, vertex), float32, ids ascending. Vertices: left, then right hemisphere.
    subject
        Name kept in the file.
    incomplete_vertices
        ``exclude``: a vertex that was not measured in every session is NaN for all images, so that all values of a subject
        rest on three repeats. ``nanmean``: the mean over the repeats that were measured, as in the released code.

    Raises
    ------
    ValueError
        If an image does not occur three times over the sessions, or the sessions differ in their number of vertices.
    """
    from scipy.sparse import csr_array

    if incomplete_vertices not in POLICIES:
        raise ValueError(f"incomplete_vertices: {incomplete_vertices!r} is not one of {', '.join(POLICIES)}")
    opened = [open_array(path, variables=["z", "id73k"]) for path in sessions]
    try:
        ids = np.concatenate([as_ids(session["id73k"].to_numpy()) for session in opened])
        images, image_of_trial, counts = np.unique(ids, return_inverse=True, return_counts=True)
        if (counts != REPEATS).any():
            wrong = images[counts != REPEATS][0]
            raise ValueError(
                f"{subject}: id73k {wrong} occurs {counts[counts != REPEATS][0]} times over {len(sessions)} sessions, "
                f"expected {REPEATS}"
            )
        sizes = {session.sizes["vertex"] for session in opened}
        if len(sizes) != 1:
            raise ValueError(f"{subject}: sessions have different numbers of vertices: {sorted(sizes)}")
        n_vertices = sizes.pop()
        # For each session the 0/1 matrix (image, trial) that adds up the trials of an image.
        bounds = np.cumsum([session.sizes["trial"] for session in opened])[:-1]
        sums = [
            csr_array((np.ones(rows.size), (rows, np.arange(rows.size))), shape=(images.size, rows.size))
            for rows in np.split(image_of_trial, bounds)
        ]
        with create_array(
            output,
            name="betas",
            dims=("id73k", "vertex"),
            shape=(images.size, n_vertices),
            dtype="f4",
            chunks=(IMAGE_CHUNK, VERTEX_BLOCK),
            coords={"id73k": ("id73k", images)},
            attrs={
                "units": "z-score",
                "subject": subject,
                "incomplete_vertices": incomplete_vertices,
                "sessions": len(sessions),
            },
            fill_value=np.nan,
        ) as variable:
            for start in range(0, n_vertices, VERTEX_BLOCK):
                stop = min(start + VERTEX_BLOCK, n_vertices)
                total = np.zeros((images.size, stop - start))
                count = np.zeros((images.size, stop - start))
                for session, to_images in zip(opened, sums, strict=True):
                    z = session["z"][:, start:stop].to_numpy()
                    measured = np.isfinite(z)
                    total += to_images @ np.where(measured, z, 0)
                    count += to_images @ measured.astype(np.float64)
                wanted = count == REPEATS if incomplete_vertices == "exclude" else count > 0
                if incomplete_vertices == "exclude":
                    wanted &= wanted.all(axis=0)
                # In place: over 10,000 images each further array of this shape would take another 330 MB.
                np.divide(total, count, out=total, where=wanted)
                total[~wanted] = np.nan
                variable[:, start:stop] = total.astype(np.float32)
    finally:
        for session in opened:
            session.close()


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
    blocks = wanted // VERTEX_BLOCK
    with open_array(path, variables=["betas", "id73k"]) as dataset:
        # Whole chunks, of which the region's units are kept: HDF5 is slow at picking scattered columns.
        parts = [
            dataset["betas"][:, block * VERTEX_BLOCK : (block + 1) * VERTEX_BLOCK].load()[
                :, wanted[blocks == block] - block * VERTEX_BLOCK
            ]
            for block in np.unique(blocks)
        ] or [dataset["betas"][:, :0].load()]
        dim = parts[0].dims[1]
        betas = xr.concat(parts, dim=dim).assign_coords({dim: wanted})
    return betas[:, np.isfinite(betas.to_numpy()).all(axis=0)]
