"""Compare the results of a run on the miniature with what was planted."""

from pathlib import Path

import pandas as pd
import yaml

from capcortex.arrays import open_array
from capcortex.inference.group import CEILING_COLUMNS
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table
from capcortex.truth import Expectation, check_truth, read_planted_brain


def main(
    *,
    truth: str,
    latents: str,
    surfaces: list[str],
    responses: list[str],
    models: list[str],
    scores: list[str],
    ceilings: str,
    subjects: list[str],
    seed: int,
    made_up_captions: bool,
    checked_rois: list[str],
    check: str,
) -> None:
    planted = yaml.safe_load(Path(truth).read_text(encoding="utf-8"))
    found = [read_table(path, columns=SCORE_COLUMNS) for path in scores]
    model_rdms = {}
    for path, table in zip(models, found, strict=True):
        with open_array(path, variables=["rdm", "id73k", "image_set"]) as file:
            model_rdms[str(table["model"].iloc[0])] = file.load()
    with open_array(latents, variables=["latents", "id73k"]) as file:
        planted_latents = file["latents"].load()
    brains = map(read_planted_brain, surfaces, responses)
    expectation = Expectation(
        dict(zip(subjects, brains, strict=True)),
        planted_latents,
        model_rdms,
        seed,
    )
    table = check_truth(
        [
            row
            for row in planted["checks"]
            if row["roi"] in checked_rois and (made_up_captions or not row.get("only_made_up_captions"))
        ],
        planted["equivalence_bound"],
        pd.concat(found, ignore_index=True),
        read_table(ceilings, columns=CEILING_COLUMNS),
        expectation,
    )
    write_table(table, check)


if __name__ == "__main__":
    with job(snakemake):
        main(
            truth=snakemake.input.truth,
            latents=snakemake.input.latents,
            surfaces=list(snakemake.input.surfaces),
            responses=list(snakemake.input.responses),
            models=list(snakemake.input.models),
            scores=list(snakemake.input.scores),
            ceilings=snakemake.input.ceilings,
            subjects=list(snakemake.params.subjects),
            seed=snakemake.params.seed,
            made_up_captions=snakemake.params.made_up_captions,
            checked_rois=list(snakemake.params.checked_rois),
            check=snakemake.output.check,
        )
