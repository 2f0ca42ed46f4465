"""Z-score the single trials of one session at each vertex."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_session_trials
from capcortex.nsd.sessions import extract_session, native_surface_session, surface_session

if __name__ == "__main__":
    with job(snakemake):
        trials = read_session_trials(snakemake.input.trials, int(snakemake.wildcards.session))
        betas, indices = ([Path(path) for path in files] for files in (snakemake.input.betas, snakemake.input.indices))
        raw = native_surface_session(betas, indices, len(trials)) if indices else surface_session(betas, len(trials))
        extract_session(raw, trials, Path(snakemake.output.session))
