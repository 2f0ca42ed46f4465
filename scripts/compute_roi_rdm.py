"""Dissimilarities of the images of every set in each region of a subject."""

import logging
from pathlib import Path

import numpy as np
import xarray as xr

from capcortex.arrays import write_array
from capcortex.jobs import job
from capcortex.nsd.betas import read_roi_betas
from capcortex.nsd.image_sets import read_image_sets
from capcortex.nsd.rois import read_label_names, read_labels, read_ncsnr, read_units, region_units
from capcortex.rsa.rdm import LEAST_UNITS, rdms_of_sets, undefined_rdms


def main(
    *,
    betas: str,
    image_sets: list[str],
    labels: list[str],
    names: list[str],
    indices: list[str],
    mask: str | None,
    ncsnr: list[str],
    rois: dict[str, list[str]],
    native: list[str],
    least_ncsnr: float | None,
    distance: str,
    subject: str,
    rdm: str,
) -> None:
    sets, set_labels = read_image_sets(image_sets)
    units = read_units(betas, mask)
    reliable = np.ones(units.count, bool)
    if least_ncsnr is not None:
        reliable = read_ncsnr([Path(path) for path in ncsnr], units) >= least_ncsnr
    files_per_atlas = len(labels) // len(rois)
    parts = []
    for number, (atlas, atlas_rois) in enumerate(rois.items()):
        files = [Path(path) for path in labels[files_per_atlas * number : files_per_atlas * (number + 1)]]
        to_fsaverage = [Path(path) for path in indices] if atlas in native else None
        atlas_labels = read_labels(files, units, indices=to_fsaverage)
        label_names = read_label_names(names[number])
        for roi in atlas_rois:
            inside = region_units(atlas_labels, label_names, roi, atlas=atlas)
            measured = read_roi_betas(betas, inside)
            patterns = measured[:, reliable[measured[measured.dims[1]].to_numpy()]]
            n_measured, n_used = measured.shape[1], patterns.shape[1]
            if n_used >= LEAST_UNITS:
                made = rdms_of_sets(patterns, sets, set_labels, distance, what=betas)
            else:
                made = undefined_rdms(sets, set_labels, distance)
                logging.getLogger(__name__).warning(
                    "%s does not have region %s of atlas %s: %d of its %d vertices or voxels can be used, %d are needed",
                    *(subject, roi, atlas, n_used, inside.size, LEAST_UNITS),
                )
            facts = {
                "atlas": atlas,
                "analysed": n_used >= LEAST_UNITS,
                "n_units": n_used,
                "n_left_out_missing": inside.size - n_measured,
                "n_left_out_ncsnr": n_measured - n_used,
            }
            made = made.expand_dims(roi=[roi])
            parts.append(made.assign({key: ("roi", [value]) for key, value in facts.items()}))
    write_array(xr.concat(parts, dim="roi", data_vars="minimal").assign_attrs(subject=subject), rdm)


if __name__ == "__main__":
    with job(snakemake):
        main(
            betas=snakemake.input.betas,
            image_sets=list(snakemake.input.image_sets),
            labels=list(snakemake.input.labels),
            names=list(snakemake.input.names),
            indices=list(snakemake.input.indices),
            mask=next(iter(snakemake.input.mask), None),
            ncsnr=list(snakemake.input.ncsnr),
            rois=dict(snakemake.params.rois),
            native=list(snakemake.params.native),
            least_ncsnr=snakemake.params.least_ncsnr,
            distance=snakemake.params.distance,
            subject=snakemake.wildcards.subject,
            rdm=snakemake.output.rdm,
        )
