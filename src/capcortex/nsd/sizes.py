"""How large NSD's arrays and the study's betas are, known before any of them is there: what the plan adds up.

Shapes and sessions are NSD's; how many voxels are brain is known only from the masks, and estimated until these are there.
"""

import math

import numpy as np

from capcortex.nsd import betas, sessions
from capcortex.nsd.bookkeeping import REPEATS

VOLUME_SHAPES = {
    "subj01": (81, 104, 83),
    "subj02": (82, 106, 84),
    "subj03": (81, 106, 82),
    "subj04": (85, 99, 80),
    "subj05": (79, 97, 78),
    "subj06": (85, 113, 83),
    "subj07": (78, 95, 81),
    "subj08": (80, 103, 78),
}
"""Voxels of func1pt8mm along each axis (NSD data manual, technical notes)."""

BRAIN_SHARE = 218_840 / math.prod(VOLUME_SHAPES["subj01"])
"""Share of the volume that lies in the brain mask: subj01's, taken for everyone."""

COORDINATE_BYTES = 3 * 4  # i, j, k of a voxel, int32
RAW_BYTES_PER_VALUE = {"nii.gz": 0.445 * 2, "hdf5": 1.0434 * 2}
"""Of a volume's int16 betas, of all voxels: subj01's files of 467 MB and 1.0944 GB beside the 1.0488 GB that they hold."""

NATIVE_SESSION_BYTES = 706_000_000
"""A session's hdf5 betas on both native surfaces: the mean over all 284 sessions."""


def raw_session_bytes(kind: str, n_trials: int, n_values: int) -> int:
    """Size of a session's raw betas.

    Parameters
    ----------
    kind
        ``fsaverage`` (both mgh), ``nativesurface`` (both hdf5), ``nii.gz`` or ``hdf5`` (volume).
    n_trials
        Trials of the session.
    n_values
        Vertices of both hemispheres of fsaverage, or voxels of the whole volume; not used for native surfaces.
    """
    if kind == "fsaverage":
        return 4 * n_trials * n_values
    if kind == "nativesurface":
        return NATIVE_SESSION_BYTES * n_trials // 750
    return int(RAW_BYTES_PER_VALUE[kind] * n_trials * n_values)


def extracted_bytes(n_sessions: int, n_trials: int, n_units: int, dim: str) -> int:
    """Size of the files of `extract_session`: int16 of the trials that they keep, whole blocks of units.

    Parameters
    ----------
    n_sessions
        Sessions.
    n_trials
        Trials of all of them that show images seen three times.
    n_units, dim
        Number of units, and ``vertex`` or ``voxel``.
    """
    return 2 * n_trials * _padded(n_units, sessions.UNIT_BLOCK) + n_sessions * _places(n_units, dim)


def averages_bytes(n_images: int, n_units: int, dim: str) -> int:
    """Size of the averages of `average_repeats`: float32 of all images, whole chunks."""
    rows, columns = _padded(n_images, betas.IMAGE_CHUNK[dim]), _padded(n_units, betas.UNIT_BLOCK)
    return 4 * rows * columns + _places(n_units, dim)


def repeats_bytes(n_images: int, n_units: int, dim: str) -> int:
    """Size of the repeats that `average_repeats` keeps: int16 of three showings of some images, whole chunks."""
    rows = _padded(n_images, betas.REPEATS_IMAGE_CHUNK)
    return 2 * REPEATS * rows * _padded(n_units, betas.UNIT_BLOCK) + _places(n_units, dim)


def estimated_voxels(subject: str) -> int:
    """Voxels of a subject's brain mask: subj01's share of the volume, rounded.

    Raises
    ------
    KeyError
        For a subject who is not one of NSD's.
    """
    return int(np.rint(BRAIN_SHARE * math.prod(VOLUME_SHAPES[subject])))


def _padded(number: int, block: int) -> int:
    # Chunks are cut down to arrays that are smaller than one.
    return number if number < block else math.ceil(number / block) * block


def _places(n_units: int, dim: str) -> int:
    return COORDINATE_BYTES * n_units if dim == "voxel" else 0
