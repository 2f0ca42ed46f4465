"""Z-score the single trials of one session at each voxel of the brain mask."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_session_trials
from capcortex.nsd.sessions import extract_session, volume_session

if __name__ == "__main__":
    with job(snakemake):
        trials = read_session_trials(snakemake.input.trials, int(snakemake.wildcards.session))
        raw = volume_session(Path(snakemake.input.betas), Path(snakemake.input.mask), len(trials))
        extract_session(raw, trials, Path(snakemake.output.session))
