"""Correlate the RDM of every region of a subject with those of all models, over all pairs of the subject's images."""

from contextlib import ExitStack

import pandas as pd
import xarray as xr

from capcortex.arrays import open_array
from capcortex.jobs import job
from capcortex.nsd.regions import Region, find_regions
from capcortex.rsa.all_pairs import compare_all_pairs
from capcortex.rsa.rdm import ALL_PAIRS, LEAST_UNITS, SCORE_COLUMNS
from capcortex.tables import write_table


def score_region(
    region: Region, models: dict[str, xr.Dataset], model_distances: dict[str, str | None], distance: str, subject: str
) -> list[dict]:
    patterns, counts = region.read()
    if counts["n_units"] < LEAST_UNITS:
        return []
    compared = compare_all_pairs(
        patterns, models, model_distances, distance=distance, what=f"{region.betas}, region {region.name}"
    )
    others = {
        "roi": region.name,
        "subject": subject,
        "image_set": ALL_PAIRS,
        "measure": "pearson",
        "distance": distance,
    }
    return [row | others for row in compared.to_dataframe().reset_index().to_dict("records")]


def main(
    *,
    betas: str,
    labels: list[str],
    names: list[str],
    indices: list[str],
    mask: str | None,
    ncsnr: list[str],
    features: dict[str, str],
    model_distances: dict[str, str | None],
    rois: dict[str, list[str]],
    native: list[str],
    least_ncsnr: float | None,
    distance: str,
    subject: str,
    scores: str,
) -> None:
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
    with ExitStack() as stack:
        models = {model: stack.enter_context(open_array(path, variables=["id73k"])) for model, path in features.items()}
        rows = [row for region in regions for row in score_region(region, models, model_distances, distance, subject)]
    write_table(pd.DataFrame(rows, columns=SCORE_COLUMNS), scores)


if __name__ == "__main__":
    with job(snakemake):
        models = list(snakemake.params.models)
        main(
            betas=snakemake.input.betas,
            labels=list(snakemake.input.labels),
            names=list(snakemake.input.names),
            indices=list(snakemake.input.indices),
            mask=next(iter(snakemake.input.mask), None),
            ncsnr=list(snakemake.input.ncsnr),
            features=dict(zip(models, snakemake.input.features, strict=True)),
            model_distances=dict(zip(models, snakemake.params.model_distances, strict=True)),
            rois=dict(snakemake.params.rois),
            native=list(snakemake.params.native),
            least_ncsnr=snakemake.params.least_ncsnr,
            distance=snakemake.params.distance,
            subject=snakemake.wildcards.subject,
            scores=snakemake.output.scores,
        )
