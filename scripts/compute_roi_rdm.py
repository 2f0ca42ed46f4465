"""Dissimilarities of the images of every set in each region of a subject, and what noise ceilings need of the region."""

import logging

import numpy as np
import xarray as xr

from capcortex.arrays import write_array
from capcortex.jobs import job
from capcortex.nsd.betas import caution_about_repeats
from capcortex.nsd.bookkeeping import REPEATS
from capcortex.nsd.image_sets import read_image_sets
from capcortex.nsd.regions import find_regions
from capcortex.rsa.crossnobis import crossnobis_of_sets
from capcortex.rsa.rdm import LEAST_UNITS, mean_of_other_repeats, rdms_of_repeats, rdms_of_sets, undefined_rdms

LOG = logging.getLogger(__name__)


def main(
    *,
    betas: str,
    repeats: str,
    image_sets: list[str],
    all_shared: str,
    labels: list[str],
    names: list[str],
    indices: list[str],
    mask: str | None,
    ncsnr: list[str],
    rois: dict[str, list[str]],
    native: list[str],
    least_ncsnr: float | None,
    distance: str,
    betas_version: str,
    seed: int,
    subject: str,
    rdm: str,
    ceilings: str,
) -> None:
    sets, set_labels = read_image_sets(image_sets)
    # A subject's own sets are followed by those that all saw.
    _, shared_labels = read_image_sets(image_sets[1:])
    shared_sets = sets[np.isin(set_labels, shared_labels)]
    # One set of all images that all subjects saw; with one subject it has none.
    whole, whole_label = read_image_sets([all_shared])[0].reshape(1, -1), ["shared-all"]
    crossnobis = distance == "crossnobis"
    of_repeats = "correlation" if crossnobis else distance
    caution = caution_about_repeats(distance, betas_version)
    if caution:
        LOG.warning(caution)
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
    parts, ceiling_parts = [], []
    for region in regions:
        patterns, counts = region.read()
        analysed = counts["n_units"] >= LEAST_UNITS
        made = undefined_rdms(sets, set_labels, distance)
        made_whole = undefined_rdms(whole, whole_label, "correlation")
        made_repeats = undefined_rdms(shared_sets, shared_labels, of_repeats)["rdm"].expand_dims(
            repeat=range(1, REPEATS + 1), axis=1
        )
        made_others = made_repeats
        ceiling = np.nan
        if analysed:
            ceiling = region.mean_noise_ceiling(patterns[patterns.dims[1]].to_numpy())
            made_whole = rdms_of_sets(patterns, whole, whole_label, "correlation", what=betas)
            if not crossnobis:
                made = rdms_of_sets(patterns, sets, set_labels, distance, what=betas)
            # Averages and repeats of a large region take gigabytes each.
            del patterns
            single = region.read_repeats(repeats)
            if single.shape[2] >= LEAST_UNITS:
                of_shared = single.sel(id73k=np.unique(shared_sets))
                made_repeats, made_others = (
                    rdms_of_repeats(each, shared_sets, shared_labels, of_repeats, what=repeats)
                    for each in (of_shared, mean_of_other_repeats(of_shared))
                )
                del of_shared
            if crossnobis:
                made = crossnobis_of_sets(single, sets, set_labels, seed=seed, subject=subject, what=repeats)
            del single
        else:
            LOG.warning(
                "%s does not have region %s of atlas %s: %d of its %d vertices or voxels can be used, %d are needed",
                *(subject, region.name, region.atlas, counts["n_units"], region.units.size, LEAST_UNITS),
            )
        facts = {"atlas": region.atlas, "analysed": analysed, **counts}
        made = made.expand_dims(roi=[region.name])
        parts.append(made.assign({key: ("roi", [value]) for key, value in facts.items()}))
        for_ceilings = xr.Dataset(
            {
                "rdm_of_repeats": made_repeats,
                "rdm_of_other_repeats": made_others,
                "rdm_all_shared": made_whole["rdm"][0].drop_vars("image_set").rename(pair="pair_all"),
                "ncsnr_ceiling": ceiling,
            },
            coords={
                "id73k": (("image_set", "image"), shared_sets),
                "id73k_all_shared": ("image_all", whole[0]),
            },
        )
        ceiling_parts.append(for_ceilings.expand_dims(roi=[region.name]))
    for path, datasets in ((rdm, parts), (ceilings, ceiling_parts)):
        write_array(xr.concat(datasets, dim="roi", data_vars="minimal").assign_attrs(subject=subject), path)


if __name__ == "__main__":
    with job(snakemake):
        main(
            betas=snakemake.input.betas,
            repeats=snakemake.input.repeats,
            image_sets=list(snakemake.input.image_sets),
            all_shared=snakemake.input.all_shared,
            labels=list(snakemake.input.labels),
            names=list(snakemake.input.names),
            indices=list(snakemake.input.indices),
            mask=next(iter(snakemake.input.mask), None),
            ncsnr=list(snakemake.input.ncsnr),
            rois=dict(snakemake.params.rois),
            native=list(snakemake.params.native),
            least_ncsnr=snakemake.params.least_ncsnr,
            distance=snakemake.params.distance,
            betas_version=snakemake.params.betas_version,
            seed=snakemake.params.seed,
            subject=snakemake.wildcards.subject,
            rdm=snakemake.output.rdm,
            ceilings=snakemake.output.ceilings,
        )
