"""Make one subject of the miniature: anatomy, regions, and the betas of every session."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.nsd.miniature.brain import write_subject

if __name__ == "__main__":
    with job(snakemake):
        write_subject(
            Path(snakemake.params.root),
            Path(snakemake.params.truth_folder),
            subject=snakemake.params.subject,
            sessions=dict(snakemake.params.sessions),
            runs_per_session=snakemake.params.runs_per_session,
            betas_version=snakemake.params.betas_version,
            truth=dict(snakemake.params.planted),
            seed=snakemake.params.seed,
            twins=snakemake.params.twins,
        )
