"""Check trials and images: NSD's own files against each other, the study's tables, and the acceptance table."""

from pathlib import Path

import pandas as pd

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import (
    check_identities,
    count_facts,
    read_experiment_design,
    read_stimulus_table,
    read_trials,
    require_facts,
    require_subjects_table,
)
from capcortex.tables import read_table, write_table


def main(
    *,
    design: str,
    stimuli: str,
    responses: list[str],
    acceptance: list[str],
    subjects: list[dict],
    image_set_size: int,
    shared_image_sets: int,
    trials: str,
    facts: str,
) -> None:
    found_design = read_experiment_design(design)
    found_stimuli = read_stimulus_table(stimuli)
    parts = [read_trials(path, row["subject"]) for path, row in zip(responses, subjects, strict=True)]
    found_trials = pd.concat(parts, ignore_index=True)
    require_subjects_table(found_trials, subjects, image_set_size, shared_image_sets)
    check_identities(found_design, found_trials, found_stimuli)
    found_facts = count_facts(found_design, found_trials, found_stimuli)
    for table in acceptance:
        require_facts(found_facts, read_table(table, columns=["fact", "subject", "expected"]), table=Path(table).name)
    write_table(found_trials, trials)
    write_table(found_facts, facts)


if __name__ == "__main__":
    with job(snakemake):
        main(
            design=snakemake.input.design,
            stimuli=snakemake.input.stimuli,
            responses=list(snakemake.input.responses),
            acceptance=list(snakemake.input.acceptance),
            subjects=list(snakemake.params.subjects),
            image_set_size=snakemake.params.image_set_size,
            shared_image_sets=snakemake.params.shared_image_sets,
            trials=snakemake.output.trials,
            facts=snakemake.output.facts,
        )
