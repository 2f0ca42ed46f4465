"""Tabulate the trials of one subject that the study uses, after checking all that were recorded."""

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import (
    check_identities,
    choose_sessions,
    read_experiment_design,
    read_stimulus_table,
    read_trials,
)
from capcortex.tables import write_table


def main(
    *, design: str, stimuli: str, responses: str, subject: str, sessions: int, trials_per_session: int, trials: str
) -> None:
    recorded = read_trials(responses, subject)
    check_identities(read_experiment_design(design), recorded, read_stimulus_table(stimuli))
    write_table(choose_sessions(recorded, sessions=sessions, trials_per_session=trials_per_session), trials)


if __name__ == "__main__":
    with job(snakemake):
        main(
            design=snakemake.input.design,
            stimuli=snakemake.input.stimuli,
            responses=snakemake.input.responses,
            subject=snakemake.wildcards.subject,
            sessions=snakemake.params.sessions,
            trials_per_session=snakemake.params.trials_per_session,
            trials=snakemake.output.trials,
        )
