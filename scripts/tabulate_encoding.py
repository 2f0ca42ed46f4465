"""Means over the vertices of each region of what encoding found, beside the agreement of subjects and the ceiling by ncsnr."""

import numpy as np
import pandas as pd

from capcortex.arrays import open_array
from capcortex.encoding.table import ENCODING_COLUMNS, encoding_of_regions
from capcortex.jobs import job
from capcortex.nsd.regions import find_regions
from capcortex.tables import write_table


def read_columns(path: str, names: list[str], **of: str) -> dict[str, np.ndarray]:
    """Read variables of every vertex, of one subject where a file holds several."""
    with open_array(path, variables=names) as file:
        return {name: file[name].sel(of).to_numpy() for name in names}


def main(
    *,
    encodings: list[str],
    released: list[str],
    agreements: str,
    betas: list[str],
    labels: list[str],
    names: list[str],
    indices: list[str],
    ncsnr: list[str],
    models: list[str],
    subjects: list[str],
    rois: dict[str, list[str]],
    native: list[str],
    least_ncsnr: float | None,
    table: str,
) -> None:
    parts = []
    for number, subject in enumerate(subjects):

        def own(paths: list[str], number: int = number) -> list[str]:
            each = len(paths) // len(subjects)
            return paths[number * each : (number + 1) * each]

        regions = find_regions(
            betas[number],
            rois,
            labels=own(labels),
            names=own(names),
            native=native,
            indices=own(indices),
            mask=None,
            ncsnr=own(ncsnr),
            least_ncsnr=least_ncsnr,
        )
        vertices = {(each.atlas, each.name): each.units[each.reliable[each.units]] for each in regions}
        of_subject = read_columns(agreements, ["agreement", "noise_ceiling"], subject=subject)
        for place, model in enumerate(models):
            at = place * len(subjects) + number
            values = of_subject | read_columns(encodings[at], ["r", "fraction"])
            if released:
                values |= read_columns(released[at], ["r_as_released", "fraction_as_released"])
            parts.append(encoding_of_regions(values, vertices).assign(model=model, subject=subject))
    in_order = pd.concat(parts)[ENCODING_COLUMNS]
    in_order["model"] = pd.Categorical(in_order["model"], models)
    write_table(in_order.sort_values("model", kind="stable"), table)


if __name__ == "__main__":
    with job(snakemake):
        files = snakemake.input
        main(
            encodings=list(files.encodings),
            released=list(files.released),
            agreements=files.agreements,
            betas=list(files.betas),
            labels=list(files.labels),
            names=list(files.names),
            indices=list(files.indices),
            ncsnr=list(files.ncsnr),
            models=list(snakemake.params.models),
            subjects=list(snakemake.params.subjects),
            rois=dict(snakemake.params.rois),
            native=list(snakemake.params.native),
            least_ncsnr=snakemake.params.least_ncsnr,
            table=snakemake.output.table,
        )
