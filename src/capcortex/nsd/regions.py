"""The regions that an analysis asks for, and a subject's averaged betas and their repeats in each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.nsd.betas import read_roi_betas, read_roi_repeats
from capcortex.nsd.rois import noise_ceiling, read_label_names, read_labels, read_ncsnr, read_units, region_units


@dataclass(frozen=True, eq=False)
class Region:
    """A region of a subject.

    Attributes
    ----------
    name, atlas
        As in config key ``rois``.
    betas
        File of `capcortex.nsd.betas.average_repeats`.
    units : ndarray of shape (n_units,), intp
        Vertices or voxels with the region's label; there may be none.
    ncsnr : ndarray of shape (n_units_of_file,), float64
        Signal-to-noise ratio of each vertex or voxel of the file; NaN where NSD gives none.
    reliable : ndarray of shape (n_units_of_file,), bool
        Whether it is high enough.
    """

    name: str
    atlas: str
    betas: str
    units: NDArray[np.intp]
    ncsnr: NDArray[np.float64]
    reliable: NDArray[np.bool_]

    def read(self) -> tuple[xr.DataArray, dict[str, int]]:
        """Read the averaged betas of the vertices or voxels that can be used.

        Returns
        -------
        patterns : DataArray (id73k, vertex) or (id73k, voxel), float32
            As from `read_roi_betas`; there may be no vertex or voxel.
        counts : dict
            ``n_units`` that are used, ``n_left_out_missing`` without data, ``n_left_out_ncsnr`` with data, but not reliable.
        """
        measured = read_roi_betas(self.betas, self.units)
        patterns = measured[:, self.reliable[measured[measured.dims[1]].to_numpy()]]
        n_measured, n_used = measured.shape[1], patterns.shape[1]
        return patterns, {
            "n_units": n_used,
            "n_left_out_missing": self.units.size - n_measured,
            "n_left_out_ncsnr": n_measured - n_used,
        }

    def read_repeats(self, path: str | Path) -> xr.DataArray:
        """Read the responses to single showings of the vertices or voxels that can be used.

        Parameters
        ----------
        path
            File of repeats of `capcortex.nsd.betas.average_repeats`.

        Returns
        -------
        DataArray (repeat, id73k, vertex) or (repeat, id73k, voxel), float32
            As from `read_roi_repeats`: under ``nanmean`` of fewer vertices or voxels than `read`, which averages what there is.
        """
        return read_roi_repeats(path, self.units[self.reliable[self.units]])

    def mean_noise_ceiling(self, units: NDArray[np.intp]) -> float:
        """Mean over vertices or voxels of the share of variance of averaged responses that a model can explain.

        Parameters
        ----------
        units
            Positions on the axis of the file.

        Returns
        -------
        float
            A fraction, of the units with a finite ncsnr; NaN if there are none. See `noise_ceiling`.
        """
        known = self.ncsnr[units]
        known = known[np.isfinite(known)]
        return float(noise_ceiling(known).mean() / 100) if known.size else float("nan")


def find_regions(
    betas: str,
    rois: Mapping[str, Sequence[str]],
    *,
    labels: Sequence[str],
    names: Sequence[str],
    native: Sequence[str],
    indices: Sequence[str],
    mask: str | None,
    ncsnr: Sequence[str],
    least_ncsnr: float | None,
) -> list[Region]:
    """Find the regions of a subject.

    Parameters
    ----------
    betas
        File of `capcortex.nsd.betas.average_repeats`.
    rois
        Names of regions of each atlas, as in config key ``rois``.
    labels, names
        Label files of all atlases one after another, as many for each; and the file with the names of each. See `read_labels`.
    native, indices
        Atlases whose labels are on native surfaces, and the files that bring them to fsaverage.
    mask
        Brain mask, for betas in the volume.
    ncsnr, least_ncsnr
        Files of `read_ncsnr`, and the lowest value of a reliable vertex or voxel; with None all are.

    Returns
    -------
    list of Region
        In the order of ``rois``.

    Raises
    ------
    ValueError
        If a file does not fit the betas, or an atlas has no region of a name.
    """
    units = read_units(betas, mask)
    ratios = read_ncsnr([Path(path) for path in ncsnr], units)
    reliable = np.ones(units.count, bool) if least_ncsnr is None else ratios >= least_ncsnr
    files_per_atlas = len(labels) // len(rois)
    found = []
    for number, (atlas, atlas_rois) in enumerate(rois.items()):
        files = [Path(path) for path in labels[files_per_atlas * number : files_per_atlas * (number + 1)]]
        to_fsaverage = [Path(path) for path in indices] if atlas in native else None
        atlas_labels = read_labels(files, units, indices=to_fsaverage)
        label_names = read_label_names(names[number])
        for roi in atlas_rois:
            inside = region_units(atlas_labels, label_names, roi, atlas=atlas)
            found.append(Region(roi, atlas, betas, inside, ratios, reliable))
    return found
