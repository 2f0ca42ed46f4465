"""Writers of NSD's file formats, byte for byte as in the release: headers, byte order, chunks, scale.

The same input always gives the same bytes: no dates, no names of users or programs.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from capcortex.files import atomic_path

PERCENT_SCALE = 300  # int16 files hold per cent signal change times this
VOXEL_MM = 1.8
REPETITION_S = 1.3333334
MAT_TEXT = 116  # bytes of free text at the start of a MATLAB 5 file
MGH_FOOTER = 20  # bytes (repetition time, angles) that follow the data


class _Sink:
    """Where a file's bytes go: plain, or gzipped without a date."""

    def __init__(self, handle: BinaryIO, *, gzipped: bool, strategy: int) -> None:
        self._handle = handle
        self._coder = zlib.compressobj(1, zlib.DEFLATED, 31, 9, strategy) if gzipped else None

    def write(self, content: bytes) -> None:
        self._handle.write(self._coder.compress(content) if self._coder else content)

    def finish(self) -> None:
        if self._coder:
            self._handle.write(self._coder.flush())


@contextmanager
def _sink(path: Path, *, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> Iterator[_Sink]:
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        sink = _Sink(handle, gzipped=path.suffix in (".gz", ".mgz"), strategy=strategy)
        yield sink
        sink.finish()


def to_int16(percent: np.ndarray) -> np.ndarray:
    """Return betas in per cent as NSD stores them: times 300, rounded, saturated at both ends."""
    scaled = percent * np.float32(PERCENT_SCALE)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32767, 32767, out=scaled).astype(np.int16)


def write_mgh(path: Path, frames: np.ndarray) -> None:
    """Write float32 values over vertices as ``.mgh`` (plain) or ``.mgz`` (gzipped).

    Parameters
    ----------
    path
        The file.
    frames
        (frame, vertex); becomes an array (vertex, 1, 1, frame), or (vertex, 1, 1) for one frame.
    """
    from nibabel.freesurfer.mghformat import MGHHeader

    count, vertices = frames.shape
    header = MGHHeader()
    header.set_data_dtype(np.dtype(np.float32))
    header.set_data_shape((vertices, 1, 1, count) if count > 1 else (vertices, 1, 1))
    with _sink(path) as sink:
        sink.write(header.binaryblock[:-MGH_FOOTER].ljust(header.get_data_offset(), b"\0"))
        for frame in frames:
            sink.write(frame.astype(">f4").tobytes())
        sink.write(header.binaryblock[-MGH_FOOTER:])


def nifti_header(shape: tuple[int, ...], dtype: str, *, functional: bool) -> bytes:
    """Return the 352 bytes before the data of a volume in func1pt8mm.

    Parameters
    ----------
    shape
        (X, Y, Z) or (X, Y, Z, trial).
    dtype
        Of the values, for example ``int16``.
    functional
        Whether the repetition time stands in the header, as in betas and maps derived from them.
    """
    from nibabel.nifti1 import Nifti1Header

    header = Nifti1Header(endianness="<")
    header.set_data_dtype(np.dtype(dtype))
    header.set_data_shape(shape)
    header["pixdim"] = [0, VOXEL_MM, VOXEL_MM, VOXEL_MM, REPETITION_S if functional else 1, 1, 1, 1]
    header["vox_offset"] = 352
    header["scl_slope"] = header["scl_inter"] = 0
    header["xyzt_units"] = 0
    header["qform_code"], header["sform_code"] = 0, 1
    for axis, name in enumerate(("srow_x", "srow_y", "srow_z")):
        row = np.zeros(4)
        row[axis], row[3] = VOXEL_MM, -VOXEL_MM * (shape[axis] - 1) / 2
        header[name] = row
    header["aux_file"] = b"none"
    header["magic"] = b"n+1"
    return bytes(header.binaryblock) + b"\0\0\0\0"


def write_nifti(path: Path, values: np.ndarray, *, functional: bool) -> None:
    """Write one volume (X, Y, Z) in its own dtype as ``.nii.gz``."""
    with _sink(path) as sink:
        sink.write(nifti_header(values.shape, values.dtype.name, functional=functional))
        sink.write(values.astype(values.dtype.newbyteorder("<")).tobytes(order="F"))


def write_nifti_trials(path: Path, shape: tuple[int, int, int], where: np.ndarray, trials: np.ndarray) -> None:
    """Write betas as ``.nii.gz``, one trial after the other, 0 outside the mask.

    Parameters
    ----------
    path
        The file.
    shape
        (X, Y, Z).
    where
        (voxel,) position of each voxel in the volume counted with x fastest.
    trials
        (trial, voxel) int16.
    """
    volume = np.zeros(int(np.prod(shape)), "<i2")
    # Noise does not repeat itself: to look for runs alone takes half the time and makes no larger files.
    with _sink(path, strategy=zlib.Z_RLE) as sink:
        sink.write(nifti_header((*shape, len(trials)), "int16", functional=True))
        for trial in trials:
            volume[where] = trial
            sink.write(volume.tobytes())


def write_hdf5_betas(path: Path, shape: tuple[int, ...], units: Iterable[tuple[tuple[int, ...], bytes]]) -> None:
    """Write betas as HDF5 in the layout of the release: one chunk per voxel or vertex, holding all its trials.

    The oldest file format and an empty chunk cache give the release's version-1 B-tree between the chunks.

    Parameters
    ----------
    path
        The file; its one dataset is ``betas``.
    shape
        (trial, Z, Y, X) or (trial, vertex).
    units
        Position of each chunk, such as (z, y, x), and its bytes: all trials, little-endian int16.
    """
    import h5py

    with (
        atomic_path(path) as temporary,
        h5py.File(temporary, "w", libver="earliest", rdcc_nbytes=0) as file,
    ):
        chunks = (shape[0], *(1 for _ in shape[1:]))
        dataset = file.create_dataset("betas", shape, "<i2", chunks=chunks)
        for position, content in units:
            dataset.id.write_direct_chunk((0, *position), content)


def write_ctab(path: Path, names: list[str], *, tail: str = "") -> None:
    """Write the names of labels 1, 2, ... after ``0 Unknown``; some of NSD's files have a ``tail`` on every line."""
    lines = [f"{number} {name}{tail if number else ''}" for number, name in enumerate(["Unknown", *names])]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_surface(path: Path, coordinates: np.ndarray, faces: np.ndarray) -> None:
    """Write a FreeSurfer binary surface; ``coordinates`` in mm, ``faces`` 0-based."""
    from nibabel.freesurfer import write_geometry

    with atomic_path(path) as temporary:
        write_geometry(temporary, coordinates.astype(np.float32), faces.astype(np.int32), create_stamp="miniature NSD")


def write_morphology(path: Path, values: np.ndarray) -> None:
    """Write one value per vertex (curvature, sulcal depth) as FreeSurfer does."""
    from nibabel.freesurfer import write_morph_data

    with atomic_path(path) as temporary:
        write_morph_data(temporary, values.astype(np.float32))


def write_mat(path: Path, fields: dict[str, np.ndarray]) -> None:
    """Write doubles as a MATLAB 5 file, without the date that its header would hold."""
    from scipy.io import savemat

    with atomic_path(path) as temporary:
        savemat(temporary, {name: np.asarray(values, float) for name, values in fields.items()})
        with temporary.open("r+b") as handle:
            handle.write(b"MATLAB 5.0 MAT-file, miniature NSD".ljust(MAT_TEXT))
