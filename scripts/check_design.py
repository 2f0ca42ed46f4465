"""Count the facts of the dataset, in all that was recorded, and compare them with the acceptance table."""

from pathlib import Path

import pandas as pd

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_experiment_design, read_stimulus_table, read_trials
from capcortex.nsd.facts import count_facts, read_facts, require_facts
from capcortex.tables import write_table


def main(
    *,
    design: str,
    stimuli: str,
    responses: dict[str, str],
    acceptance: list[str],
    compared: list[str],
    facts: str,
) -> None:
    trials = pd.concat([read_trials(path, subject) for subject, path in responses.items()], ignore_index=True)
    found = count_facts(read_experiment_design(design), trials, read_stimulus_table(stimuli))
    for table in acceptance:
        expected = read_facts(table)
        require_facts(found, expected[expected["fact"].isin(compared)], table=Path(table).name)
    write_table(found, facts)


if __name__ == "__main__":
    with job(snakemake):
        main(
            design=snakemake.input.design,
            stimuli=snakemake.input.stimuli,
            responses=dict(zip(snakemake.params.subjects, snakemake.input.responses, strict=True)),
            acceptance=list(snakemake.input.acceptance),
            compared=list(snakemake.params.compared),
            facts=snakemake.output.facts,
        )
