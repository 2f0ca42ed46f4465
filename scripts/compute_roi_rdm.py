"""Dissimilarities of the images of every set in each region of a subject."""

import logging

import xarray as xr

from capcortex.arrays import write_array
from capcortex.jobs import job
from capcortex.nsd.image_sets import read_image_sets
from capcortex.nsd.regions import find_regions
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
    regions = find_regions(
        betas,
        rois,
        labels=labels,
        names=names,
        native=native,
        indices=indices,
        mask=mask,
        ncsnr=ncsnr,
        least_ncsnr=least_ncsnr,
    )
    parts = []
    for region in regions:
        patterns, counts = region.read()
        analysed = counts["n_units"] >= LEAST_UNITS
        if analysed:
            made = rdms_of_sets(patterns, sets, set_labels, distance, what=betas)
        else:
            made = undefined_rdms(sets, set_labels, distance)
            logging.getLogger(__name__).warning(
                "%s does not have region %s of atlas %s: %d of its %d vertices or voxels can be used, %d are needed",
                *(subject, region.name, region.atlas, counts["n_units"], region.units.size, LEAST_UNITS),
            )
        facts = {"atlas": region.atlas, "analysed": analysed, **counts}
        made = made.expand_dims(roi=[region.name])
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
