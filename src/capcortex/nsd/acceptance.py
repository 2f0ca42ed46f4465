"""Facts of one subject's files: what is looked at before any of the subject's betas is fetched, and what it must be.

An acceptance table (``facts``) says which facts are looked up, and every fact which files it needs: small ones, which are there,
and single-trial betas of the first session, of which only headers and some values are read, by ranges, wherever they lie.
"""

import gzip
import io
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import h5py
import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capcortex.images import read_on_grid, read_vertices, read_volume
from capcortex.nsd import layout
from capcortex.nsd.bookkeeping import read_experiment_design, read_stimulus_table, read_trials
from capcortex.nsd.facts import FACTS_OF_ALL_SUBJECTS, FACTS_OF_ONE_SUBJECT, count_facts, require_fact, written
from capcortex.nsd.rois import read_regions, read_surface_labels
from capcortex.nsd.sessions import LARGEST_BETA, NIFTI_HEADER_BYTES
from capcortex.seeds import random_generator

logger = logging.getLogger(__name__)

Value = int | float | str
FOUND_COLUMNS = ["fact", "subject", "expected", "found", "files"]
"""Columns of `check_facts`."""

SESSION = 1
COMPARED_VOXELS = 20
MGH_HEADER_BYTES = 284
FIRST_VERTICES = 4096
PRF_LABELS = range(1, 8)


@dataclass(frozen=True)
class Group:
    """Facts that are found together.

    Attributes
    ----------
    facts
        Their names.
    count : callable (subject, files, parts) -> dict
        Finds them: a number or word for each name, from paths of ``files`` and binary file objects of ``parts``.
    files, parts : callable (subject, betas_version) -> list of str
        NSD keys of files that must be there whole; and of files that are read by ranges.
    betas_version
        The version of the betas whose facts they are; None if they hold for all.
    """

    facts: tuple[str, ...]
    count: Callable[[str, list[Path], list[BinaryIO]], dict[str, Value]]
    files: Callable[[str, str], list[str]] = lambda subject, betas_version: []
    parts: Callable[[str, str], list[str]] = lambda subject, betas_version: []
    betas_version: str | None = None


# What is looked up


def facts_of_subject(table: pd.DataFrame, subject: str) -> list[str]:
    """Return the rows of an acceptance table that concern a subject, each as one line with tabs.

    These are the rows of the subject and of ``all``, but for what only all subjects together show.

    Parameters
    ----------
    table
        From `capcortex.nsd.facts.read_facts`.
    subject
        ``subj01`` .. ``subj08``.
    """
    concern = table["subject"].isin([subject, "all"]) & ~table["fact"].isin(FACTS_OF_ALL_SUBJECTS)
    return ["\t".join(row) for row in table[concern].itertuples(index=False)]


def files_of_facts(table: pd.DataFrame, subject: str, betas_version: str) -> list[str]:
    """Return the NSD keys of the files that must be there before a subject's facts can be checked, each once.

    Depends on the table's rows only and reads nothing.

    Raises
    ------
    ValueError
        If the table names a fact that nobody can find.
    """
    groups = [_group_of(line.split("\t")[0], betas_version) for line in facts_of_subject(table, subject)]
    return list(dict.fromkeys(key for group in groups if group for key in group.files(subject, betas_version)))


def check_facts(
    facts: Sequence[str],
    subject: str,
    betas_version: str,
    *,
    files: Mapping[str, Path],
    open_part: Callable[[str], AbstractContextManager[BinaryIO]],
    table: str,
) -> pd.DataFrame:
    """Find facts of a subject one by one, and stop at the first that is not as expected.

    Facts of ncsnr hold for one version of the betas; with another one they are passed over, and the log says so.

    Parameters
    ----------
    facts
        From `facts_of_subject`.
    subject
        ``subj01`` .. ``subj08``.
    betas_version
        The version that the study uses.
    files
        Path of each key of `files_of_facts`.
    open_part
        Opens the file of a key for reading by ranges: a context manager that gives a seekable binary file object. ``read`` and
        ``readinto`` of it must give as many bytes as are asked for, except at the end.
    table
        Name of the table that the facts are from, for messages.

    Returns
    -------
    DataFrame with columns
        ``fact``; ``subject`` (or ``all``); ``expected``; ``found``; ``files``: the keys that it was found in. All text.

    Raises
    ------
    ValueError
        At the first row that is not as expected, or has an unknown fact: naming fact, subject, what was found, what the table
        says, and the files. Also for a file that is damaged or does not fit the others.
    """
    found: dict[str, Value] = {}
    rows = []
    for line in facts:
        fact, owner, expected = line.split("\t")
        group = _group_of(fact, betas_version)
        if group is None:
            logger.info("%s of %s is passed over: it is not a fact of %s", fact, owner, betas_version)
            continue
        keys, parts = group.files(subject, betas_version), group.parts(subject, betas_version)
        where = ", ".join([*keys, *parts])
        if fact not in found:
            with ExitStack() as stack:
                opened = [stack.enter_context(open_part(key)) for key in parts]
                try:
                    found |= group.count(subject, [files[key] for key in keys], opened)
                except ValueError as error:
                    raise ValueError(f"{fact} of {owner} cannot be found in {where}: {error}") from error
        require_fact(fact, owner, found[fact], expected, table=table, where=where)
        rows.append((fact, owner, expected, written(found[fact]), where))
    return pd.DataFrame(rows, columns=FOUND_COLUMNS)


def _group_of(fact: str, betas_version: str) -> Group | None:
    """Return the group that a fact is in; None if it is of another version of the betas."""
    if fact not in GROUP_OF:
        raise ValueError(f"fact {fact} is not one that can be looked up; known: {', '.join(KNOWN_FACTS)}")
    group = GROUP_OF[fact]
    return group if group.betas_version in (None, betas_version) else None


# How facts are found


def _count_bookkeeping(subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    design, stimuli, responses = files
    counts = count_facts(read_experiment_design(design), read_trials(responses, subject), read_stimulus_table(stimuli))
    return {row["fact"]: row["found"] for row in counts.to_dict("records")}


def _count_nsdgeneral_vertices(subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    return {"nsdgeneral_vertices": int((read_surface_labels(files) > 0).sum())}


def _count_ventral_vertices(subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    *hemispheres, names = files
    labels, label_of = read_regions(hemispheres, names, ["ventral"], atlas="streams")
    return {"streams_ventral_vertices": int((labels == label_of["ventral"]).sum())}


def _count_nsdgeneral_voxels(subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    # Not everything but 0: -1 is no cortex.
    return {"nsdgeneral_voxels": int((read_volume(files[0])[0] > 0).sum())}


def _count_prf_voxels(subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    labels, _ = read_volume(files[0])
    return {f"prf-visualrois_voxels_label_{label}": int((labels == label).sum()) for label in PRF_LABELS}


def _median_of_vertices(fact: str, subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    inside = read_surface_labels(files[:2]) > 0
    ratios = np.concatenate([read_vertices(path).ravel() for path in files[2:]])
    if ratios.shape != inside.shape:
        raise ValueError(f"ncsnr of {ratios.size} vertices, expected the {inside.size} of nsdgeneral")
    return {fact: _finite_median(ratios[inside], fact, subject)}


def _median_of_voxels(fact: str, subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    inside = read_volume(files[0])[0] > 0
    return {fact: _finite_median(read_on_grid(files[1], inside.shape)[inside], fact, subject)}


def _finite_median(ratios: NDArray[np.floating], fact: str, subject: str) -> float:
    """Median of what is finite; units that were not measured have NaN."""
    known = ratios[np.isfinite(ratios)].astype(np.float64)
    logger.info("%s of %s: over %d values; %d more are not finite", fact, subject, known.size, ratios.size - known.size)
    return float(np.median(known)) if known.size else float("nan")


def _look_at_mgh(hemisphere: str, subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    """Header and first values of surface betas, read as FreeSurfer writes all numbers: big-endian."""
    start = parts[0].read(MGH_HEADER_BYTES + 4 * FIRST_VERTICES)
    if len(start) < MGH_HEADER_BYTES + 4:
        raise ValueError(f"{len(start)} bytes, expected an mgh file")
    version, *shape, data_type = np.frombuffer(start, ">i4", count=6).tolist()
    values = np.frombuffer(start[: len(start) // 4 * 4], ">f4", offset=MGH_HEADER_BYTES)
    found: dict[str, Value] = {
        "mgh_version": version,
        "mgh_type": data_type,
        "shape": _shape(shape),
        "mb": _megabytes(parts[0]),
        # NaN is how NSD marks missing data; in the wrong byte order, numbers are of any size.
        "out_of_range": int((np.abs(values) > LARGEST_BETA).sum()),
    }
    return {f"surface_betas_{hemisphere}_{name}": value for name, value in found.items()}


def _look_at_hdf5(subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    with _opened_hdf5(parts[0]) as betas:
        return {
            "volume_hdf5_dtype": betas.dtype.newbyteorder("=").name,
            "volume_hdf5_shape": _shape(betas.shape),
            "volume_hdf5_chunks": _shape(betas.chunks or ()),
            "volume_hdf5_mb": _megabytes(parts[0]),
        }


def _look_at_nifti(subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    header = _nifti_header(_unpacked(parts[0], NIFTI_HEADER_BYTES))
    return {
        "volume_nifti_dtype": header.get_data_dtype().newbyteorder("=").name,
        "volume_nifti_shape": _shape(header.get_data_shape()),
        # A word: rounded to a whole number, a slope of 1/300 would be 0 too.
        "volume_nifti_slope": f"{float(header['scl_slope']):g}",
    }


def _compare_volume_files(subject: str, files: list[Path], parts: list[BinaryIO]) -> dict[str, Value]:
    """Compare both volume files of a session in some voxels of the brain, in the first trial.

    A compressed file can only be read from its beginning: the first trial is what costs little.
    """
    mask, _ = read_volume(files[0])
    hdf5, nifti = parts
    header = _nifti_header(_unpacked(nifti, NIFTI_HEADER_BYTES))
    shape, dtype, offset = header.get_data_shape(), header.get_data_dtype(), header.get_data_offset()
    if shape[:3] != mask.shape:
        raise ValueError(f"NIfTI file of shape {shape}, expected the grid of the subject's brain mask, {mask.shape}")
    trial = np.frombuffer(_unpacked(nifti, offset + mask.size * dtype.itemsize), dtype, offset=offset)
    # Where both files hold 0, as in voxels that were not measured, they agree whatever their order.
    telling = np.flatnonzero((mask.ravel(order="F") > 0) & (trial != 0))
    if telling.size < COMPARED_VOXELS:
        raise ValueError(
            f"{telling.size} voxels of the brain are not 0 in the first trial, expected at least {COMPARED_VOXELS}"
        )
    # The seed is not the study's: betas must not be fetched again with another one.
    chosen = np.sort(random_generator(0, "acceptance", subject).choice(telling, COMPARED_VOXELS, replace=False))
    with _opened_hdf5(hdf5) as betas:
        if betas.shape != shape[::-1]:
            raise ValueError(
                f"HDF5 file of shape {betas.shape}, expected {shape[::-1]}, axes (trial, Z, Y, X), those of the NIfTI file"
            )
        places = zip(*np.unravel_index(chosen, mask.shape, order="F"), strict=True)
        values = np.array([betas[0, k, j, i] for i, j, k in places])
    return {"volume_files_disagreeing_voxels": int((values != trial[chosen]).sum())}


@contextmanager
def _opened_hdf5(part: BinaryIO) -> Iterator[h5py.Dataset]:
    try:
        file = h5py.File(part, "r")
    except OSError as error:
        # h5py's own; a subclass is what went wrong on the way to the bytes, and says so itself.
        if type(error) is not OSError:
            raise
        raise ValueError(f"not readable as HDF5 ({error})") from error
    with file:
        betas = file.get("betas")
        if not isinstance(betas, h5py.Dataset):
            raise ValueError(f"no dataset betas; found {', '.join(file) or 'nothing'}")
        yield betas


def _unpacked(packed: BinaryIO, count: int) -> bytes:
    """Decompress the first bytes of a gzip file, and read little more of it."""
    packed.seek(0)
    try:
        with gzip.GzipFile(fileobj=packed, mode="rb") as stream:
            content = stream.read(count)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"not a whole gzip file ({error})") from error
    if len(content) < count:
        raise ValueError(f"gzip file ends after {len(content)} bytes of its content, expected at least {count}")
    return content


def _nifti_header(content: bytes) -> nibabel.Nifti1Header:
    try:
        return nibabel.Nifti1Header.from_fileobj(io.BytesIO(content))
    except nibabel.spatialimages.HeaderDataError as error:
        raise ValueError(f"not a NIfTI file ({error})") from error


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _megabytes(file: BinaryIO) -> float:
    return file.seek(0, io.SEEK_END) / 1e6


# Which facts there are


def _atlas_on_fsaverage(atlas: str) -> list[str]:
    return [layout.surface_label("fsaverage", hemisphere, atlas) for hemisphere in layout.HEMISPHERES]


def _volume_labels(atlas: str) -> Callable[[str, str], list[str]]:
    return lambda subject, betas_version: [layout.volume_file(subject, f"roi/{atlas}")]


def _volume_betas(*suffixes: str) -> Callable[[str, str], list[str]]:
    return lambda subject, version: [
        layout.volume_betas(subject, version, SESSION, suffix=suffix) for suffix in suffixes
    ]


def _surface_betas(hemisphere: str) -> Callable[[str, str], list[str]]:
    return lambda subject, version: [layout.surface_betas(subject, version, SESSION, hemisphere)]


def _groups() -> Iterator[Group]:
    yield Group(
        FACTS_OF_ONE_SUBJECT,
        _count_bookkeeping,
        files=lambda subject, betas_version: [
            layout.EXPERIMENT_DESIGN,
            layout.STIMULUS_TABLE,
            layout.responses(subject),
        ],
    )
    for hemisphere in layout.HEMISPHERES:
        names = ("mgh_version", "mgh_type", "shape", "mb", "out_of_range")
        yield Group(
            tuple(f"surface_betas_{hemisphere}_{name}" for name in names),
            partial(_look_at_mgh, hemisphere),
            parts=_surface_betas(hemisphere),
        )
    yield Group(
        tuple(f"volume_hdf5_{name}" for name in ("dtype", "shape", "chunks", "mb")),
        _look_at_hdf5,
        parts=_volume_betas("hdf5"),
    )
    yield Group(
        tuple(f"volume_nifti_{name}" for name in ("dtype", "shape", "slope")),
        _look_at_nifti,
        parts=_volume_betas("nii.gz"),
    )
    yield Group(
        ("volume_files_disagreeing_voxels",),
        _compare_volume_files,
        files=lambda subject, betas_version: [layout.volume_file(subject, "brainmask")],
        parts=_volume_betas("hdf5", "nii.gz"),
    )
    yield Group(
        ("nsdgeneral_vertices",),
        _count_nsdgeneral_vertices,
        files=lambda subject, betas_version: _atlas_on_fsaverage("nsdgeneral"),
    )
    yield Group(
        ("streams_ventral_vertices",),
        _count_ventral_vertices,
        files=lambda subject, betas_version: [
            *_atlas_on_fsaverage("streams"),
            layout.label_names("fsaverage", "streams"),
        ],
    )
    yield Group(("nsdgeneral_voxels",), _count_nsdgeneral_voxels, files=_volume_labels("nsdgeneral"))
    yield Group(
        tuple(f"prf-visualrois_voxels_label_{label}" for label in PRF_LABELS),
        _count_prf_voxels,
        files=_volume_labels("prf-visualrois"),
    )
    # NSD's manual calls the versions b1, b2 and b3.
    for number, version in enumerate(layout.BETAS_VERSIONS, start=1):
        of_vertices, of_voxels = (f"nsdgeneral_{units}_ncsnr_median_b{number}" for units in ("vertices", "voxels"))
        yield Group(
            (of_vertices,),
            partial(_median_of_vertices, of_vertices),
            files=lambda subject, betas_version: [
                *_atlas_on_fsaverage("nsdgeneral"),
                *(layout.surface_ncsnr(subject, betas_version, "fsaverage", side) for side in layout.HEMISPHERES),
            ],
            betas_version=version,
        )
        yield Group(
            (of_voxels,),
            partial(_median_of_voxels, of_voxels),
            files=lambda subject, betas_version: [
                *_volume_labels("nsdgeneral")(subject, betas_version),
                layout.volume_ncsnr(subject, betas_version),
            ],
            betas_version=version,
        )


GROUP_OF = {fact: group for group in _groups() for fact in group.facts}
KNOWN_FACTS = (*FACTS_OF_ALL_SUBJECTS, *GROUP_OF)
"""Facts that an acceptance table can name."""
