"""Image files: NSD's volumes (NIfTI) and values of vertices (mgh, mgz) read, maps written as NIfTI and GIFTI.

What the study itself computes with lies in ``arrays``; maps are written here for other programs to open, whole or not at all. The
same values always give the same bytes.
"""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
from nibabel.freesurfer.mghformat import MGHImage
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiMetaData
from numpy.typing import ArrayLike, NDArray

from capcortex.files import atomic_path, remedy

STRUCTURES = {"lh": "CortexLeft", "rh": "CortexRight"}
DESCRIPTION_BYTES = 79  # of a NIfTI header's 80, the last ends the text


def damaged(path: str | Path, what: str, cause: object) -> ValueError:
    """Return the error to raise for a file that cannot be read as what it should be (``what``, such as ``nii.gz``)."""
    return ValueError(f"{path}: not a whole {what} file ({' '.join(str(cause).split())}); {remedy(path)}")


def _unpacked(path: str | Path) -> bytes:
    # Unpacked here because nibabel stops at the last value, before the checksum that tells damaged ones.
    content = Path(path).read_bytes()
    return gzip.decompress(content) if Path(path).suffix in (".gz", ".mgz") else content


def _load_volume(path: str | Path) -> tuple[NDArray, nibabel.Nifti1Image]:
    try:
        image = nibabel.Nifti1Image.from_bytes(_unpacked(path))
        values = np.asarray(image.dataobj)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise damaged(path, "NIfTI", error) from error
    if values.ndim != 3:
        raise ValueError(f"{path}: shape {values.shape}, expected one volume (X, Y, Z); {remedy(path)}")
    return values, image


def read_volume(path: str | Path) -> tuple[NDArray, NDArray[np.float64]]:
    """Read one volume.

    Parameters
    ----------
    path
        ``.nii.gz`` or ``.nii``.

    Returns
    -------
    values : ndarray of shape (X, Y, Z)
        In the data type of the file, or float64 where its header asks for scaling.
    affine : ndarray of shape (4, 4), float64
        From 0-based voxel indices (i, j, k) to mm.

    Raises
    ------
    ValueError
        If the file is damaged, its checksum included, or holds anything but one volume.
    """
    values, image = _load_volume(path)
    return values, image.affine


def read_on_grid(path: str | Path, shape: tuple[int, ...]) -> NDArray:
    """Read one volume that must have the shape (X, Y, Z) of the subject's brain mask.

    Raises
    ------
    ValueError
        If the file is damaged or has another shape.
    """
    values, _ = read_volume(path)
    if values.shape != tuple(shape):
        raise ValueError(
            f"{path}: shape {values.shape}, expected {tuple(shape)}, that of the subject's brain mask in func1pt8mm; "
            f"is it the file of another subject or space? {remedy(path)}"
        )
    return values


def read_vertices(path: str | Path) -> NDArray:
    """Read the values of the vertices of one hemisphere, as FreeSurfer keeps them.

    Parameters
    ----------
    path
        ``.mgh`` or ``.mgz``.

    Returns
    -------
    ndarray of shape (n_vertices, 1, 1) or (n_vertices, 1, 1, n_values)
        In the data type of the file.

    Raises
    ------
    ValueError
        If the file is damaged, its checksum included.
    """
    try:
        return np.asarray(MGHImage.from_bytes(_unpacked(path)).dataobj)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise damaged(path, "mgh or mgz", error) from error


def write_volume(
    values: ArrayLike,
    indices: ArrayLike,
    template_path: str | Path,
    output_path: str | Path,
    *,
    description: str,
) -> None:
    """Write values of some voxels as a volume.

    Parameters
    ----------
    values : shape (n_voxels,)
        Kept as float32; NaN stays NaN.
    indices : shape (n_voxels, 3)
        0-based (i, j, k) of each voxel, each voxel once.
    template_path
        Volume whose grid and affine the new one has, such as the subject's ``brainmask.nii.gz``; its values do not matter.
    output_path
        ``.nii.gz`` or ``.nii``: float32, NaN in all other voxels, units mm. The affine stands in the sform, with the
        template's code (NSD: scanner); the qform is left unset, as in NSD's files.
    description
        What the map shows, in the header's ``descrip``; at most 79 bytes.

    Raises
    ------
    ValueError
        If the template is damaged, values and indices do not belong together, a voxel lies outside the template's grid or
        occurs twice, or the description is too long.
    """
    grid, template = _load_volume(template_path)
    numbers, where = np.asarray(values, np.float32), np.asarray(indices)
    if numbers.ndim != 1 or where.shape != (numbers.size, 3):
        raise ValueError(
            f"{output_path}: values of shape {numbers.shape} and indices of shape {where.shape}, expected (n_voxels,) "
            "and (n_voxels, 3)"
        )
    outside = np.flatnonzero(((where < 0) | (where >= grid.shape)).any(axis=1))
    if outside.size:
        raise ValueError(
            f"{output_path}: voxel {tuple(where[outside[0]].tolist())} lies outside the grid {grid.shape} of {template_path}"
        )
    if len(np.unique(where, axis=0)) != len(where):
        raise ValueError(f"{output_path}: a voxel occurs twice among the {len(where)} indices, expected once")
    text = description.encode()
    if len(text) > DESCRIPTION_BYTES:
        raise ValueError(
            f"{output_path}: description of {len(text)} bytes, at most {DESCRIPTION_BYTES} fit: {description!r}"
        )
    volume = np.full(grid.shape, np.nan, np.float32)
    volume[tuple(where.T)] = numbers
    image = nibabel.Nifti1Image(volume, template.affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = text
    image.set_sform(template.affine, int(template.header["sform_code"]) or int(template.header["qform_code"]))
    with atomic_path(output_path) as temporary:
        nibabel.save(image, temporary)


def write_both_hemispheres(
    maps: Mapping[str, NDArray], paths: Sequence[str | Path], hemispheres: Sequence[str]
) -> None:
    """Write named maps of both hemispheres, the first half of each map and the second, by `write_surface_maps`."""
    for at, (path, hemisphere) in enumerate(zip(paths, hemispheres, strict=True)):
        write_surface_maps({name: np.split(values, 2)[at] for name, values in maps.items()}, path, hemisphere)


def write_surface_maps(maps: Mapping[str, ArrayLike], path: str | Path, hemisphere: str) -> None:
    """Write maps of one hemisphere as GIFTI.

    Parameters
    ----------
    maps
        For each name the values, shape (n_vertices,); kept as float32, NaN stays NaN. Connectome Workbench lists the maps
        by these names.
    path
        Name ending in ``.func.gii``, by which programs know values over vertices.
    hemisphere
        ``lh`` or ``rh``; becomes ``AnatomicalStructurePrimary``, without which Workbench does not know on which surface to
        show them.

    Raises
    ------
    ValueError
        If a map is not a vector, the maps differ in length, or the hemisphere is neither.
    """
    if hemisphere not in STRUCTURES:
        raise ValueError(f"{path}: hemisphere {hemisphere!r} is not one of {', '.join(STRUCTURES)}")
    columns = {name: np.asarray(values, np.float32) for name, values in maps.items()}
    _require_one_length(path, columns)
    arrays = [GiftiDataArray(column, meta={"Name": name}) for name, column in columns.items()]
    for array in arrays:
        array.coordsys = None  # nibabel gives one to every array; the standard only to coordinates of vertices
    structure = GiftiMetaData(AnatomicalStructurePrimary=STRUCTURES[hemisphere])
    image = GiftiImage(darrays=arrays, meta=structure)
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)


def _require_one_length(path: str | Path, maps: Mapping[str, NDArray]) -> None:
    shapes = {name: values.shape for name, values in maps.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(f"{path}: expected maps of one length (n_vertices,), found {shapes}")
