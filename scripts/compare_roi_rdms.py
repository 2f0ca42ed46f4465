"""Compare a model's RDMs with those of every region and subject."""

import pandas as pd

from capcortex.arrays import open_array
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS, compare_sets, subjects_of_rois
from capcortex.tables import write_table


def main(*, model_rdm: str, roi_rdms: list[str], model: str, subjects: list[str], measure: str, scores: str) -> None:
    parts = []
    with open_array(model_rdm, variables=["rdm", "id73k", "image_set"]) as model_file:
        of_model = model_file.load()
    of_subjects = {}
    for path, subject in zip(roi_rdms, subjects, strict=True):
        with open_array(path, variables=["rdm", "id73k", "image_set", "roi", "atlas", "analysed"]) as file:
            of_subjects[subject] = file.load()
    have = subjects_of_rois(of_subjects)
    for path, (subject, of_rois) in zip(roi_rdms, of_subjects.items(), strict=True):
        for roi in (roi for roi, those in have.items() if subject in those):
            compared = compare_sets(
                of_rois.sel(roi=roi), of_model, left_name=path, right_name=model_rdm, measure=measure
            )
            table = compared.to_dataframe().reset_index()
            facts = {"measure": measure, "distance": of_rois["rdm"].attrs["distance"]}
            parts.append(table.assign(model=model, roi=roi, subject=subject, **facts)[SCORE_COLUMNS])
    write_table(pd.concat(parts, ignore_index=True), scores)


if __name__ == "__main__":
    with job(snakemake):
        main(
            model_rdm=snakemake.input.model,
            roi_rdms=list(snakemake.input.rois),
            model=snakemake.params.model,
            subjects=list(snakemake.params.subjects),
            measure=snakemake.params.measure,
            scores=snakemake.output.scores,
        )
