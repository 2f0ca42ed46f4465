"""Single-trial betas of one session: read from NSD's files block by block, z-scored, and kept small.

The first of two steps (``betas`` is the second), so that raw sessions can be dropped one by one. A session on fsaverage, on
native surfaces, in the volume as NIfTI and in the volume as HDF5 differ only in how blocks of its units (vertices or voxels)
are read.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import nibabel
import numpy as np
import pandas as pd
from isal import igzip
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from capcortex.arrays import create_array
from capcortex.files import remedy
from capcortex.images import damaged, read_volume
from capcortex.nsd.bookkeeping import REPEATS
from capcortex.nsd.vertex_index import read_vertex_index

LOG = logging.getLogger(__name__)

UNIT_BLOCK = 2048
# Vertices of a surface session that are read at once: 64 KB of each trial.
SURFACE_SLAB = 8 * UNIT_BLOCK
# Native vertices of one read. HDF5 copies a vertex's trials, which lie together in the file, into a column of what it returns:
# the fewer columns, the more of them stay in the processor's cache. Three to five times faster than UNIT_BLOCK.
NATIVE_PIECE = 128
FSAVERAGE_VERTICES = 163_842
"""Vertices of a hemisphere of fsaverage."""

# z-scores (ddof 0) of n trials cannot exceed sqrt(n - 1), below 27.4 for NSD's 750: int16 steps of 0.001 hold them all,
# and their rounding error (standard deviation 0.0003) is nothing beside the noise of a trial (about 1).
Z_STEP = 0.001
Z_MISSING = -32768
MOST_TRIALS = 1000
PLURALS = {"vertex": "vertices", "voxel": "voxels"}
NIFTI_HEADER_BYTES = 348
# NSD's volume betas are int16, percent signal change times 300. Those on surfaces are cubic interpolations (Catmull-Rom) of them
# and means over depths; the kernel's weights add up to at most 1.25 in absolute value along each of the three axes.
LARGEST_BETA = 32_768 / 300 * 1.25**3


@dataclass(frozen=True)
class RawSession:
    """The raw betas of a session, read when they are asked for.

    Attributes
    ----------
    blocks : iterator of ndarray of shape (n_trials, at most UNIT_BLOCK)
        Raw betas of consecutive units, in any unit.
    dim
        ``vertex`` or ``voxel``.
    coords
        Where the units are: ``i``, ``j``, ``k`` of voxels, nothing for vertices.
    files
        The files that the betas are read from, each with its number of units, in the order of the blocks.
    """

    blocks: Iterator[NDArray[Any]]
    dim: str
    coords: dict[str, tuple[str, NDArray[np.int32]]]
    files: list[tuple[Path, int]]


def _block_memory_mb(n_trials: int) -> int:
    """Memory in MB of a few float64 copies of a block, beside Python and its libraries."""
    return 300 + 6 * UNIT_BLOCK * n_trials * 8 // 2**20


def surface_extraction_memory_mb(n_trials: int) -> int:
    """Memory in MB of extracting a surface session: three copies of a slab, beside those of a block."""
    return _block_memory_mb(n_trials) + 3 * SURFACE_SLAB * n_trials * 4 // 2**20


def native_extraction_memory_mb(n_trials: int) -> int:
    """Memory in MB of extracting a surface session from native surfaces.

    The vertices of fsaverage take their values from native ones in no order of the file. So the trials of one hemisphere's
    native vertices that are taken are in memory, as int16: at most as many vertices as fsaverage has.
    """
    return _block_memory_mb(n_trials) + FSAVERAGE_VERTICES * n_trials * 2 // 2**20


def volume_extraction_memory_mb(n_trials: int, file_mb: float, file_format: str) -> int:
    """Memory in MB of extracting a volume session.

    A compressed file can only be read from beginning to end, one trial after the other, and z-scores need all trials of a voxel:
    the mask's voxels of all trials are in memory as int16, which is at most twice the file's size, because noise of some hundred
    steps (at least 8 of 16 bits) does not compress further. HDF5 files give one voxel after the other and need no such array.
    """
    return _block_memory_mb(n_trials) + (int(2 * file_mb) if file_format == "nii.gz" else 50)


def zscore_trials(betas: NDArray[Any]) -> NDArray[np.floating]:
    """Standardise each unit over the trials of one session.

    ``z = (beta - mean) / sd`` with the standard deviation of the population (ddof 0), as in the released code.

    Parameters
    ----------
    betas : ndarray of shape (n_trials, n_units)
        Single-trial betas in any unit; the scale drops out.

    Returns
    -------
    ndarray of shape (n_trials, n_units)
        float64, or float32 for int16, which it holds exactly. NaN for a unit that has a missing value in any trial, or no
        variance: it was not measured in this session.
    """
    # In place, and no wider than needed: this is the larger part of what extraction adds to reading. In one layout, because the
    # order of a sum decides its last digit: the same betas give the same z-scores, whichever file they were read from.
    dtype = np.float64 if betas.dtype.kind == "f" else np.float32
    values: NDArray[np.floating] = np.array(betas, dtype=dtype, order="C")
    largest = np.maximum(values.max(axis=0), -values.min(axis=0))
    values -= values.mean(axis=0, dtype=np.float64).astype(values.dtype)
    deviation = np.sqrt(np.einsum("tu,tu->u", values, values) / len(values))
    # A constant unit can show a deviation of rounding size; relative to its values that is no variance.
    deviation[~(deviation > 1e-7 * largest)] = np.nan
    values /= deviation
    return values


def read_mask(path: str | Path) -> tuple[NDArray[np.int32], tuple[int, int, int]]:
    """Read the voxels of a mask, and the shape of its volume.

    Returns
    -------
    indices : ndarray of shape (n_voxels, 3), int32
        0-based indices of the voxels above zero, the first axis fastest: the order in which NIfTI stores them.
    shape : (X, Y, Z)

    Raises
    ------
    ValueError
        If the file is damaged or no voxel is in the mask.
    """
    volume, _ = read_volume(path)
    indices = np.argwhere(volume.T > 0)[:, ::-1].astype(np.int32)
    if not len(indices):
        raise ValueError(
            f"{path}: no voxel of {volume.size} is above zero, expected a mask of the brain; {remedy(path)}"
        )
    x, y, z = volume.shape
    return indices, (x, y, z)


def open_surface_session(path: str | Path, n_trials: int) -> np.memmap[Any, Any]:
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
        If the file is damaged, or its shape or data type is not that of a surface session with ``n_trials`` trials.
    """
    try:
        data = cast(np.memmap, np.asanyarray(nibabel.freesurfer.mghformat.load(str(path)).dataobj))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise damaged(path, "mgh", error) from error
    if data.ndim != 4 or data.shape[1:3] != (1, 1) or data.shape[3] != n_trials:
        raise ValueError(
            f"{path}: shape {data.shape}, expected (n_vertices, 1, 1, {n_trials}): responses.tsv lists {n_trials} trials; "
            f"{remedy(path)}"
        )
    _require_type(path, data.dtype, np.float32, "percent signal change")
    return cast(np.memmap, data[:, 0, 0, :])


def surface_session(hemispheres: list[Path], n_trials: int) -> RawSession:
    """Open a session on fsaverage, left then right hemisphere; see `open_surface_session`.

    Raises
    ------
    ValueError
        At once, if a file is damaged. While blocks are read, if a value is beyond `LARGEST_BETA`, as a flipped bit in an
        exponent makes it; NaN is how NSD marks missing data.
    """
    maps = [open_surface_session(path, n_trials) for path in hemispheres]

    def blocks() -> Iterator[NDArray[Any]]:
        for path, betas in zip(hemispheres, maps, strict=True):
            for start in range(0, len(betas), SURFACE_SLAB):
                slab = _read_vertices_of_trials(path, betas, start, min(start + SURFACE_SLAB, len(betas)))
                beyond = np.argwhere(np.abs(slab) > LARGEST_BETA)
                if beyond.size:
                    trial, vertex = beyond[0]
                    raise ValueError(
                        f"{path}: the beta of vertex {start + vertex} (from 0) in trial {trial + 1} (from 1) is "
                        f"{slab[trial, vertex]:g}, expected percent signal change within +-{LARGEST_BETA:.1f}, the most that "
                        f"NSD's int16 can give; {remedy(path)}"
                    )
                for first in range(0, slab.shape[1], UNIT_BLOCK):
                    yield slab[:, first : first + UNIT_BLOCK]

    return RawSession(
        blocks(), "vertex", {}, [(path, len(betas)) for path, betas in zip(hemispheres, maps, strict=True)]
    )


def _read_vertices_of_trials(path: Path, betas: np.memmap[Any, Any], start: int, stop: int) -> NDArray[np.float32]:
    """Read vertices ``start`` to ``stop`` of all trials, as float32 (trial, vertex).

    Read, not taken from the map: how many pages around a piece of a map are kept for it, and counted as memory of the job, is
    for the system to choose.
    """
    n_vertices, n_trials = betas.shape
    values = np.empty((n_trials, stop - start), betas.dtype)
    with path.open("rb", buffering=0) as file:
        for trial in range(n_trials):
            file.seek(betas.offset + (trial * n_vertices + start) * values.itemsize)
            if file.readinto(values[trial].data.cast("B")) != values[trial].nbytes:
                raise damaged(path, "mgh", f"ends within trial {trial + 1} (from 1)")
    return values.astype(np.float32)


def native_surface_session(hemispheres: list[Path], indices: list[Path], n_trials: int) -> RawSession:
    """Open a session on the subject's own surfaces and bring it to fsaverage, left then right hemisphere.

    Each vertex of fsaverage takes the betas of the native vertex nearest to it, as it does in the files that
    `open_surface_session` reads: NSD makes these from the same interpolated betas. z-scores are those of such files but for

    - rounding: whole steps of 1/300 per cent signal change, which moves a z-score by at most
      :math:`(1 + |z| / 2) / (300 s)`, with the standard deviation :math:`s` of the rounded betas in per cent: rounding moves
      a beta by half a step, their mean by another half, and their standard deviation by half a step;
    - saturation: values beyond int16 (109.2 per cent) are cut, those of fsaverage are not. How many there are is logged.

    Missing data, NaN there and 0 in all trials here, are missing z-scores in both.

    Parameters
    ----------
    hemispheres
        ``?h.betas_sessionNN.hdf5`` of the left and the right native surface: dataset ``betas``, int16, shape
        (n_trials, n_native), percent signal change times 300.
    indices
        ``?h.white-to-fsaverage.mgz`` of the same hemispheres.
    n_trials
        Trials that the bookkeeping expects.

    Raises
    ------
    ValueError
        At once, if a file is damaged, or its shape, data type or numbers are not those of a session with ``n_trials`` trials
        or of an index of its hemisphere. While blocks are read, if the betas cannot be.
    """
    nearest = []
    for path, index in zip(hemispheres, indices, strict=True):
        with _open_native(path, n_trials) as betas:
            n_native = betas.shape[1]
        nearest.append(read_vertex_index(index, n_native))

    def blocks() -> Iterator[NDArray[Any]]:
        for path, index in zip(hemispheres, nearest, strict=True):
            yield from _native_blocks(path, index, n_trials)

    sizes = [index.size for index in nearest]
    return RawSession(blocks(), "vertex", {}, list(zip(hemispheres, sizes, strict=True)))


def volume_session(path: Path, mask: Path, n_trials: int) -> RawSession:
    """Open a session in the volume, as NIfTI or as HDF5; both give the same blocks.

    Parameters
    ----------
    path
        ``betas_sessionNN.nii.gz``: int16, shape (X, Y, Z, n_trials), percent signal change times 300. Or
        ``betas_sessionNN.hdf5``: its dataset ``betas``, int16, shape (n_trials, Z, Y, X), because MATLAB counts axes from
        the other end.
    mask
        ``brainmask.nii.gz``; only its voxels are read.
    n_trials
        Trials that the bookkeeping expects.

    Raises
    ------
    ValueError
        While blocks are read: if the file is damaged, or its shape or data type is not that of a session on the mask's grid
        with ``n_trials`` trials.
    """
    indices, shape = read_mask(mask)
    read = _hdf5_blocks if path.suffix == ".hdf5" else _nifti_blocks
    coords = {name: ("voxel", indices[:, axis]) for axis, name in enumerate("ijk")}
    return RawSession(read(path, indices, shape, n_trials), "voxel", coords, [(path, len(indices))])


def _require_volume(path: Path, found: tuple[int, ...], expected: tuple[int, ...], axes: str, dtype: np.dtype) -> None:
    if tuple(found) != expected:
        raise ValueError(
            f"{path}: shape {tuple(found)}, expected {expected}, axes ({axes}): "
            f"the grid of the subject's brainmask and the trials in responses.tsv; {remedy(path)}"
        )
    _require_type(path, dtype, np.int16, "percent signal change times 300")


def _require_type(path: str | Path, found: np.dtype, expected: type[np.number], unit: str) -> None:
    # Either order of the bytes is right: it is known from the file.
    if found.newbyteorder("=") != expected:
        raise ValueError(f"{path}: data type {found}, expected {np.dtype(expected)} ({unit}); {remedy(path)}")


def _nifti_blocks(
    path: Path, indices: NDArray[np.int32], shape: tuple[int, int, int], n_trials: int
) -> Iterator[NDArray[np.int16]]:
    flat = np.ravel_multi_index(tuple(indices.T), shape, order="F")
    values = np.empty((n_trials, flat.size), np.int16)
    try:
        with igzip.open(path) as stream:
            header = nibabel.Nifti1Header.from_fileobj(io.BytesIO(_read(stream, NIFTI_HEADER_BYTES)))
            dtype = header.get_data_dtype()
            _require_volume(path, header.get_data_shape(), (*shape, n_trials), "X, Y, Z, trial", dtype)
            if header.get_slope_inter() not in ((None, None), (1.0, 0.0)):
                raise ValueError(
                    f"{path}: the header scales values by {header.get_slope_inter()}, expected none: NSD's betas are stored "
                    f"as they are; {remedy(path)}"
                )
            stream.seek(header.get_data_offset())
            volume = np.empty(np.prod(shape), dtype)
            for trial in range(n_trials):
                _fill(stream, volume.data.cast("B"))
                np.take(volume, flat, out=values[trial], mode="clip")
            # The end of the stream holds the checksum, which is compared when it is reached.
            if stream.read(1):
                raise damaged(path, "nii.gz", "more bytes than its header says")
    # isal is typed as if its error were a value.
    except (EOFError, OSError, IsalError, nibabel.spatialimages.HeaderDataError) as error:  # type: ignore[misc]
        if isinstance(error, FileNotFoundError):
            raise
        raise damaged(path, "nii.gz", error) from error
    for start in range(0, flat.size, UNIT_BLOCK):
        yield values[:, start : start + UNIT_BLOCK]


def _read(stream: igzip.IGzipFile, count: int) -> bytes:
    content = bytearray(count)
    _fill(stream, memoryview(content))
    return bytes(content)


def _fill(stream: igzip.IGzipFile, buffer: memoryview) -> None:
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled:])
        if not count:
            raise EOFError(f"ends after {stream.tell()} bytes of its content")
        filled += count


def _hdf5_blocks(
    path: Path, indices: NDArray[np.int32], shape: tuple[int, int, int], n_trials: int
) -> Iterator[NDArray[np.int16]]:
    with _open_hdf5(path) as betas:
        _require_volume(path, betas.shape, (n_trials, *shape[::-1]), "trial, Z, Y, X", betas.dtype)
        for start in range(0, len(indices), UNIT_BLOCK):
            here = indices[start : start + UNIT_BLOCK]
            parts = []
            # Consecutive voxels fill neighbouring rows of one slice, or of two: read the rows, keep the voxels.
            for k in np.unique(here[:, 2]):
                i, j = here[here[:, 2] == k, :2].T
                rows = betas[:, k, j.min() : j.max() + 1, i.min() : i.max() + 1]
                parts.append(rows[:, j - j.min(), i - i.min()])
            yield np.concatenate(parts, axis=1)


@contextmanager
def _open_hdf5(path: Path) -> Iterator[h5py.Dataset]:
    try:
        with h5py.File(path) as file:
            betas = file.get("betas")
            if not isinstance(betas, h5py.Dataset):
                raise damaged(path, "hdf5", f"no dataset betas; found {', '.join(file) or 'nothing'}")
            yield betas
    except (OSError, RuntimeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise damaged(path, "hdf5", error) from error


@contextmanager
def _open_native(path: Path, n_trials: int) -> Iterator[h5py.Dataset]:
    with _open_hdf5(path) as betas:
        if betas.ndim != 2 or betas.shape[0] != n_trials:
            raise ValueError(
                f"{path}: shape {betas.shape}, expected ({n_trials}, n_vertices): responses.tsv lists {n_trials} trials; "
                f"{remedy(path)}"
            )
        _require_type(path, betas.dtype, np.int16, "percent signal change times 300")
        yield betas


def _native_blocks(path: Path, index: NDArray[np.intp], n_trials: int) -> Iterator[NDArray[np.int16]]:
    taken, position = np.unique(index, return_inverse=True)
    values = np.empty((taken.size, n_trials), np.int16)
    ends = np.iinfo(np.int16)
    n_cut = n_cut_vertices = 0
    with _open_native(path, n_trials) as betas:
        # The whole file from beginning to end, because disks and networks are slow at anything else.
        for start in range(0, betas.shape[1], NATIVE_PIECE):
            first, last = np.searchsorted(taken, (start, start + NATIVE_PIECE))
            piece = betas[:, start : start + NATIVE_PIECE].T[taken[first:last] - start]
            values[first:last] = piece
            # Both -32767 and -32768, whichever the converting program ends at.
            cut = (piece >= ends.max) | (piece <= -ends.max)
            n_cut += int(cut.sum())
            n_cut_vertices += int(cut.any(axis=1).sum())
    LOG.info(
        "%s: %d betas of %d of %d vertices lie at an end of int16 (%.1f percent signal change) and may have been cut there",
        *(path, n_cut, n_cut_vertices, taken.size, ends.max / 300),
    )
    for start in range(0, index.size, UNIT_BLOCK):
        yield values[position[start : start + UNIT_BLOCK]].T


def extract_session(raw: RawSession, trials: pd.DataFrame, output: Path) -> None:
    """Z-score one session and keep the trials of images that were seen three times.

    Parameters
    ----------
    raw
        The session.
    trials
        The session's rows of the subject's table of trials in order.
    output
        netCDF: ``z`` (trial, vertex or voxel), int16 steps of 0.001, missing where a unit was not measured in this session;
        ``id73k`` (trial); ``i``, ``j``, ``k`` (voxel), 0-based indices in the volume.

    Raises
    ------
    ValueError
        If no unit of a file was measured; further what reading the blocks raises.
    """
    n_trials = len(trials)
    if n_trials > MOST_TRIALS:
        raise ValueError(
            f"a session of {n_trials} trials: z-scores of more than {MOST_TRIALS} trials may not fit int16"
        )
    kept = np.flatnonzero(trials["showings"].to_numpy() == REPEATS)
    bounds = np.cumsum([0, *(n_units for _, n_units in raw.files)])
    measured = np.empty(bounds[-1], bool)
    with create_array(
        output,
        name="z",
        dims=("trial", raw.dim),
        shape=(kept.size, measured.size),
        dtype="i2",
        chunks=(kept.size, UNIT_BLOCK),
        coords={"id73k": ("trial", trials["id73k"].to_numpy()[kept]), **raw.coords},
        attrs={"units": "z-score over the trials of the session", "scale_factor": Z_STEP},
        fill_value=Z_MISSING,
    ) as variable:
        start = 0
        for block in raw.blocks:
            here = slice(start, start + block.shape[1])
            z = zscore_trials(block)
            measured[here] = np.isfinite(z[0])
            z *= 1 / Z_STEP
            steps = np.rint(z, out=z)
            steps[:, ~measured[here]] = Z_MISSING
            variable[:, here] = steps.astype(np.int16)[kept]
            start = here.stop
        # A hemisphere without data would pass as one whose vertices are all left out.
        for (path, n_units), begin, end in zip(raw.files, bounds[:-1], bounds[1:], strict=True):
            if not measured[begin:end].any():
                raise ValueError(
                    f"{path}: none of {n_units} {PLURALS[raw.dim]} varies over the session's {n_trials} trials, expected "
                    f"betas that do: the file holds no data; {remedy(path)}"
                )
