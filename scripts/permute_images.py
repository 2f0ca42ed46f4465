"""Permute the images of a model within every image set of each subject, and compare with the subject's regions."""

import pandas as pd

from capcortex.arrays import open_array
from capcortex.inference.group import is_shared
from capcortex.inference.permutation import PERMUTATION_COLUMNS, permute_images
from capcortex.jobs import job
from capcortex.rsa.rdm import rdms_on_sets
from capcortex.seeds import random_generator
from capcortex.tables import write_table


def main(
    *,
    model_rdm: str,
    roi_rdms: list[str],
    model: str,
    subjects: list[str],
    measure: str,
    n_permutations: int,
    seed: int,
    permutations: str,
) -> None:
    parts = []
    with open_array(model_rdm, variables=["rdm", "id73k", "image_set"]) as of_model:
        for path, subject in zip(roi_rdms, subjects, strict=True):
            with open_array(path, variables=["rdm", "id73k", "image_set", "roi", "analysed"]) as file:
                own = file.isel(image_set=~is_shared(file["image_set"].to_series()).to_numpy(), roi=file["analysed"])
                regions = own["rdm"].transpose("image_set", "roi", "pair").load()
                on_sets = rdms_on_sets(of_model, own, name=model_rdm, sets_name=path)
            found = permute_images(
                regions.to_numpy(),
                on_sets.to_numpy(),
                measure=measure,
                n_permutations=n_permutations,
                rng=random_generator(seed, "permutation", model, subject),
            )
            table = found.assign_coords(roi=regions["roi"].to_numpy()).to_dataframe().reset_index()
            facts = {"model": model, "subject": subject, "n_permutations": n_permutations, "measure": measure}
            parts.append(table.assign(**facts)[PERMUTATION_COLUMNS])
    write_table(pd.concat(parts, ignore_index=True), permutations)


if __name__ == "__main__":
    with job(snakemake):
        main(
            model_rdm=snakemake.input.model,
            roi_rdms=list(snakemake.input.rois),
            model=snakemake.params.model,
            subjects=list(snakemake.params.subjects),
            measure=snakemake.params.measure,
            n_permutations=snakemake.params.n_permutations,
            seed=snakemake.params.seed,
            permutations=snakemake.output.permutations,
        )
