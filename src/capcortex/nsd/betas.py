"""Averaged betas: one z-scored response per image and unit (vertex or voxel), their repeats, and how analyses read both.

The second of two steps (``sessions`` is the first): the repeats of an image lie in different sessions. Works through blocks
of units and never holds a subject in memory.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from capcortex.arrays import create_array, open_array
from capcortex.files import remedy
from capcortex.ids import Ids, as_ids, positions
from capcortex.nsd.bookkeeping import REPEATS
from capcortex.nsd.sessions import Z_MISSING, Z_STEP

if TYPE_CHECKING:
    from scipy.sparse import csr_array

UNIT_BLOCK = 4096
# The surface is read region by region, for all images; the volume image set by image set, for all voxels.
IMAGE_CHUNK = {"vertex": 100, "voxel": 1}
# Repeats are read region by region in both.
REPEATS_IMAGE_CHUNK = 100
POLICIES = ("exclude", "nanmean")
CHOSEN_BY_REPEATS = ("betas_fithrf_GLMdenoise_RR",)
"""Versions of the betas whose repeats depend on each other: what is removed as noise was chosen by comparing repeats."""


def averaging_memory_mb(n_images: int, n_trials: int, n_repeated: int) -> int:
    """Memory of `average_repeats` in MB.

    Sums, counts and what a session adds for a block of units; one session; the block's repeats of the ``n_repeated`` images whose
    repeats are kept.
    """
    return 400 + UNIT_BLOCK * (n_images * 24 + n_trials * 24 + n_repeated * 8) // 2**20


def average_repeats(
    sessions: list[Path],
    output: Path,
    *,
    repeats: Path,
    repeats_of: Ids | None,
    subject: str,
    incomplete_data: str,
) -> None:
    """Average the z-scored responses to the three showings of each image, and keep those to single showings of some images.

    Parameters
    ----------
    sessions
        Files of `extract_session`, all of the subject's sessions in the order in which they were recorded.
    output
        netCDF: ``betas`` (id73k, vertex or voxel), float32, ids ascending; a unit is NaN for all images or for none.
        Vertices: left, then right hemisphere; voxels carry their 0-based indices ``i``, ``j``, ``k``.
    repeats
        netCDF: ``z`` (repeat, id73k, vertex or voxel), int16 steps as in the sessions; ``repeat`` counts showings from 1, ids
        ascending; a unit is missing for all images or for none.
    repeats_of
        Images whose repeats are kept, those that the subject saw three times; None keeps all of these.
    subject
        Name kept in the files.
    incomplete_data
        ``exclude``: a unit that was not measured in every session is NaN, so that all values of a subject rest on three repeats.
        ``nanmean``: the mean over the repeats that were measured, as in the released code; a unit that was measured in none of
        the three showings of some image is NaN. In the file of repeats, a unit with any missing repeat is missing.

    Raises
    ------
    ValueError
        If an image does not occur three times over the sessions, or the sessions differ in their units.
    """
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
        kept = np.arange(images.size) if repeats_of is None else np.flatnonzero(np.isin(images, repeats_of))
        repeat_of_trial = np.empty(ids.size, np.intp)
        repeat_of_trial[np.argsort(image_of_trial, kind="stable")] = np.tile(np.arange(REPEATS), images.size)
        bounds = np.cumsum([session.sizes["trial"] for session in opened])[:-1]
        # For each session how its trials add up; and the trials whose z-scores are kept, with their places among the repeats.
        sums, singles = [], []
        for rows, repeat in zip(np.split(image_of_trial, bounds), np.split(repeat_of_trial, bounds), strict=True):
            sums.append(_adding_up(rows))
            own = np.flatnonzero(np.isin(rows, kept))
            singles.append((own, (repeat[own], np.searchsorted(kept, rows[own]))))
        about = {"subject": subject, "incomplete_data": incomplete_data, "sessions": len(sessions)}
        units = {name: (dim, values) for name, values in places.items()}
        file_of_averages = create_array(
            output,
            name="betas",
            dims=("id73k", dim),
            shape=(images.size, n_units),
            dtype="f4",
            chunks=(IMAGE_CHUNK[dim], UNIT_BLOCK),
            coords={"id73k": ("id73k", images), **units},
            attrs={"units": "z-score", **about},
            fill_value=np.nan,
        )
        file_of_repeats = create_array(
            repeats,
            name="z",
            dims=("repeat", "id73k", dim),
            shape=(REPEATS, kept.size, n_units),
            dtype="i2",
            chunks=(1, REPEATS_IMAGE_CHUNK, UNIT_BLOCK),
            coords={"repeat": ("repeat", np.arange(1, REPEATS + 1)), "id73k": ("id73k", images[kept]), **units},
            attrs={"units": "z-score", "scale_factor": Z_STEP, **about},
            fill_value=Z_MISSING,
        )
        with file_of_averages as variable, file_of_repeats as single:
            for start in range(0, n_units, UNIT_BLOCK):
                stop = min(start + UNIT_BLOCK, n_units)
                total = np.zeros((images.size, stop - start))
                count = np.zeros((images.size, stop - start))
                steps = np.full((REPEATS, kept.size, stop - start), Z_MISSING, np.int16)
                for session, (shown, to_images), (own, places_of_own) in zip(opened, sums, singles, strict=True):
                    z = session["z"][:, start:stop].to_numpy()
                    measured = np.isfinite(z)
                    total[shown] += to_images @ np.where(measured, z, 0)
                    count[shown] += to_images @ measured.astype(np.float64)
                    steps[places_of_own] = np.where(measured[own], np.rint(z[own] / Z_STEP), Z_MISSING)
                whole = count == REPEATS
                if incomplete_data == "exclude":
                    usable = thrice = whole.all(axis=0)
                else:
                    usable = (count > 0).all(axis=0)
                    thrice = usable & whole[kept].all(axis=0)
                steps[:, :, ~thrice] = Z_MISSING
                single[:, :, start:stop] = steps
                # In place: over 10,000 images each further array of this shape would take another 330 MB.
                np.divide(total, count, out=total, where=usable)
                total[:, ~usable] = np.nan
                variable[:, start:stop] = total.astype(np.float32)


def _adding_up(image_of_trial: NDArray[np.intp]) -> tuple[NDArray[np.intp], "csr_array"]:
    """Return the images that a session showed, few of all, and the 0/1 matrix (image, trial) that adds up their trials."""
    from scipy.sparse import csr_array

    shown, rows = np.unique(image_of_trial, return_inverse=True)
    columns = np.arange(rows.size)
    return shown, csr_array((np.ones(rows.size), (rows, columns)), shape=(shown.size, rows.size))


def caution_about_repeats(distance: str, version: str) -> str | None:
    """Say why distances that are cross-validated over repeats are not unbiased with a version of the betas; None if they are."""
    if distance != "crossnobis" or version not in CHOSEN_BY_REPEATS:
        return None
    return (
        f"brain_distance is crossnobis and betas_version {version} (b3): its noise regressors and ridge parameters were chosen "
        "by cross-validation over repeats, which therefore depend on each other, and distances are not unbiased; the repeats of "
        "betas_fithrf (b2) are independent"
    )


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
    with open_array(path, variables=["betas", "id73k"]) as dataset:
        betas = dataset["betas"]
        blocks = _usable_units(betas[:1], wanted)
        used = np.concatenate([start + here for start, here in blocks.items()] or [wanted])
        values = np.empty((betas.shape[0], used.size), np.float32)
        stop = 0
        for start, here in blocks.items():
            begin, stop = stop, stop + here.size
            # Whole chunks, of which the region's units are kept: HDF5 is slow at picking scattered columns.
            values[:, begin:stop] = betas[:, start : start + UNIT_BLOCK].to_numpy()[:, here]
        coords = {"id73k": dataset["id73k"].to_numpy(), betas.dims[1]: used}
    return xr.DataArray(values, dims=betas.dims, coords=coords)


def _usable_units(first: xr.DataArray, wanted: NDArray[np.intp]) -> dict[int, NDArray[np.intp]]:
    """Find the units of a region that were measured, block by block: first unit of each block, and where in it they are.

    A unit is missing for all images or for none, so that the first image tells. Then an array of the units left is filled
    block by block: ten thousand images of a region take gigabytes, which a second copy would double.
    """
    blocks = {}
    for start in np.unique(wanted // UNIT_BLOCK) * UNIT_BLOCK:
        here = wanted[wanted // UNIT_BLOCK == start // UNIT_BLOCK] - start
        values = first[:, start : start + UNIT_BLOCK].to_numpy()
        blocks[int(start)] = here[np.isfinite(values[:, here]).all(axis=0)]
    return blocks


def read_roi_repeats(path: str | Path, units: NDArray[np.intp]) -> xr.DataArray:
    """Read the single responses of a region, leaving out vertices or voxels with a missing value.

    Parameters
    ----------
    path
        File of repeats of `average_repeats`.
    units
        Positions of the region on the axis of vertices or voxels.

    Returns
    -------
    DataArray (repeat, id73k, vertex) or (repeat, id73k, voxel), float32
        As from `read_roi_betas`, for each repeat.
    """
    wanted = np.sort(units)
    with open_array(path, variables=["z", "id73k", "repeat"]) as dataset:
        z = dataset["z"]
        blocks = _usable_units(z[0, :1], wanted)
        used = np.concatenate([start + here for start, here in blocks.items()] or [wanted])
        values = np.empty((*z.shape[:2], used.size), np.float32)
        stop = 0
        for start, here in blocks.items():
            begin, stop = stop, stop + here.size
            for repeat in range(z.shape[0]):
                values[repeat, :, begin:stop] = z[repeat, :, start : start + UNIT_BLOCK].to_numpy()[:, here]
        coords = {"repeat": dataset["repeat"].to_numpy(), "id73k": dataset["id73k"].to_numpy(), z.dims[2]: used}
    return xr.DataArray(values, dims=z.dims, coords=coords)


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
