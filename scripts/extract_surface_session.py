"""Z-score the single trials of one session at each vertex."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.nsd.betas import extract_session
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS
from capcortex.tables import read_table

if __name__ == "__main__":
    with job(snakemake):
        trials = read_table(snakemake.input.trials, columns=TRIAL_COLUMNS)
        wanted = (trials["subject"] == snakemake.wildcards.subject) & (
            trials["session"] == int(snakemake.wildcards.session)
        )
        extract_session([Path(path) for path in snakemake.input.betas], trials[wanted], Path(snakemake.output.session))
