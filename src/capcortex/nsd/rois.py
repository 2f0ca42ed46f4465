"""Regions of interest: labels of vertices or voxels, and the names that the atlas's own file gives them.

Labels come from three places: surfaces of fsaverage, a subject's native surfaces (from which NSD's index files bring them to
fsaverage), or a volume on the grid of the functional data. Names come from the atlas's ``.ctab``, also for a volume.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capcortex.arrays import open_array
from capcortex.files import remedy
from capcortex.images import read_on_grid, read_vertices, read_volume
from capcortex.nsd.bookkeeping import REPEATS
from capcortex.nsd.vertex_index import read_vertex_index


@dataclass(frozen=True)
class Units:
    """What the columns of a file of averaged betas stand for.

    Attributes
    ----------
    path
        The file.
    count
        Number of vertices or voxels.
    voxels : ndarray of shape (count, 3), intp, or None
        0-based indices of the voxels; None for the vertices of fsaverage, left then right hemisphere.
    shape : tuple or None
        Shape of the volume.
    """

    path: str
    count: int
    voxels: NDArray[np.intp] | None = None
    shape: tuple[int, ...] | None = None


def read_units(betas: str | Path, mask: str | Path | None = None) -> Units:
    """Read which vertices or voxels a file of averaged betas holds.

    Parameters
    ----------
    betas
        File of `capcortex.nsd.betas.average_repeats`.
    mask
        Brain mask of the subject, for betas in the volume; None for betas on fsaverage.
    """
    if mask is None:
        with open_array(betas, variables=["betas"]) as file:
            return Units(str(betas), file["betas"].shape[1])
    with open_array(betas, variables=["betas", "i", "j", "k"]) as file:
        voxels = np.column_stack([file[axis].to_numpy() for axis in "ijk"]).astype(np.intp)
    return Units(str(betas), len(voxels), voxels, read_volume(mask)[0].shape)


def read_label_names(path: str | Path) -> dict[str, int]:
    """Read the names of an atlas's labels (``<atlas>.mgz.ctab``).

    One ``<number> <name>`` per line; some of NSD's files carry tabs and spaces after the name. Further columns are numbers
    (colours, as FreeSurfer writes them), and are passed over.

    Returns
    -------
    dict
        Label of each name, without label 0 (``Unknown``) and, for volumes, -1 (no cortex).

    Raises
    ------
    ValueError
        Naming the file and the line that is not a number and a name, or a name or number that occurs twice.
    """
    names: dict[str, int] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected text in UTF-8, one number and name a line ({error}); {remedy(path)}"
        ) from error
    for count, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2 or not words[0].lstrip("-").isdigit() or not all(word.isdigit() for word in words[2:]):
            raise ValueError(f"{path}, line {count}: expected a number and a name, found {line!r}; {remedy(path)}")
        label, name = int(words[0]), words[1]
        if label < 1:
            continue
        if name in names or label in names.values():
            raise ValueError(
                f"{path}, line {count}: name {name} or label {label} occurs twice, expected once each; {remedy(path)}"
            )
        names[name] = label
    return names


def read_surface_labels(hemispheres: list[Path]) -> NDArray[np.int64]:
    """Read the label of each vertex, left then right hemisphere.

    Parameters
    ----------
    hemispheres
        ``lh.<atlas>.mgz`` and ``rh.<atlas>.mgz``.

    Returns
    -------
    ndarray of shape (n_vertices,), int64
        0 where a vertex has no label.
    """
    return np.concatenate([_whole(read_vertices(path).ravel(), path) for path in hemispheres])


def read_labels(files: list[Path], units: Units, *, indices: list[Path] | None = None) -> NDArray[np.int64]:
    """Read the label of each vertex or voxel of a file of betas.

    Parameters
    ----------
    files
        ``lh.<atlas>.mgz`` and ``rh.<atlas>.mgz``; for voxels one ``<atlas>.nii.gz``.
    units
        From `read_units`.
    indices
        For labels on native surfaces: ``lh.white-to-fsaverage.mgz`` and ``rh.white-to-fsaverage.mgz``. A vertex of fsaverage
        takes the label of the native vertex nearest to it.

    Returns
    -------
    ndarray of shape (units.count,), int64
        Regions count from 1. 0 is cortex without a label, -1 in a volume no cortex.

    Raises
    ------
    ValueError
        If a file is damaged, has a label that is not a whole number, or does not fit the betas.
    """
    if units.voxels is not None:
        return _whole(_at_voxels(files, units, units.voxels), files[0])
    if indices is None:
        labels = read_surface_labels(files)
    else:
        native = [read_surface_labels([path]) for path in files]
        taken = [read_vertex_index(path, of.size) for path, of in zip(indices, native, strict=True)]
        labels = np.concatenate([of[index] for of, index in zip(native, taken, strict=True)])
    return _fitting(labels, files, units)


def read_ncsnr(files: list[Path], units: Units) -> NDArray[np.float64]:
    """Read NSD's ncsnr (sd of the signal over sd of the noise of a single trial) of each vertex or voxel of a file of betas.

    Parameters
    ----------
    files
        ``lh.ncsnr.mgh`` and ``rh.ncsnr.mgh`` on fsaverage; for voxels ``ncsnr.nii.gz``.
    units
        From `read_units`.

    Returns
    -------
    ndarray of shape (units.count,), float64
        NaN where NSD gives none.

    Raises
    ------
    ValueError
        If a file is damaged or does not fit the betas.

    References
    ----------
    Allen et al. 2022, doi 10.1038/s41593-021-00962-x.
    """
    if units.voxels is not None:
        return _at_voxels(files, units, units.voxels).astype(np.float64)
    return _fitting(np.concatenate([read_vertices(path).ravel().astype(np.float64) for path in files]), files, units)


def noise_ceiling(ncsnr: NDArray[np.floating]) -> NDArray[np.float64]:
    """Largest share of the variance of averaged responses that a model can explain, in percent.

    ``100 ncsnr^2 / (ncsnr^2 + 1/3)`` for responses averaged over three repeats
    (Allen et al. 2022, doi 10.1038/s41593-021-00962-x).

    Parameters
    ----------
    ncsnr : ndarray, any shape
        Signal standard deviation over noise standard deviation of a single trial; NaN stays NaN.
    """
    signal = np.square(ncsnr, dtype=np.float64)
    return 100 * signal / (signal + 1 / REPEATS)


def region_units(labels: NDArray[np.int64], names: dict[str, int], roi: str, *, atlas: str) -> NDArray[np.intp]:
    """Return the positions of a named region: where its own label stands, and nothing else.

    Parameters
    ----------
    labels
        From `read_labels`.
    names
        From `read_label_names`.
    roi
        Name of the region.
    atlas
        Name of the atlas, for messages.

    Returns
    -------
    ndarray of shape (n_units,), intp
        Ascending; empty if the subject does not have the region.

    Raises
    ------
    ValueError
        If the atlas has no region of that name.
    """
    return np.flatnonzero(labels == region_label(names, roi, atlas=atlas))


def read_regions(
    labels: list[Path], names: str | Path, rois: list[str] | None, *, atlas: str
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Read the labels of an atlas's vertices, and the label of each wanted region; None wants all of them.

    Raises
    ------
    ValueError
        If the atlas has no region of a wanted name.
    """
    label_of = read_label_names(names)
    return read_surface_labels(labels), {roi: region_label(label_of, roi, atlas=atlas) for roi in rois or label_of}


def region_label(names: dict[str, int], roi: str, *, atlas: str) -> int:
    """Return the label of a named region.

    Raises
    ------
    ValueError
        If the atlas has no region of that name.
    """
    if roi not in names:
        raise ValueError(
            f"config key rois: atlas {atlas} has no region {roi!r}; name some of its label file's: {', '.join(names)}"
        )
    return names[roi]


def _at_voxels(files: list[Path], units: Units, voxels: NDArray[np.intp]) -> NDArray[Any]:
    """Read the values of a volume at the voxels of the betas."""
    (path,) = files
    return read_on_grid(path, units.shape or ())[tuple(voxels.T)]


def _whole(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    labels = np.rint(values).astype(np.int64)
    if not np.array_equal(labels, values):
        raise ValueError(f"{path}: labels are whole numbers; found {values[labels != values][0]}; {remedy(path)}")
    return labels


def _fitting(values: NDArray[Any], files: list[Path], units: Units) -> NDArray[Any]:
    if values.size != units.count:
        raise ValueError(
            f"{files[0]}: {values.size} vertices in both hemispheres, expected {units.count}, those of {units.path}; "
            f"is it the file of another surface? {remedy(files[0])}"
        )
    return values
